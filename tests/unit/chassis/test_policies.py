"""Policy files: what they mean, and how a mistake is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from chassis.policies import PolicyError, load_policy
from contracts.gate_settings import Delta, Minimum, Performance
from contracts.rollout_settings import CanaryStage, ShadowStage


def policy_file(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text)
    return path


def test_a_name_is_enough_and_all_gates_are_on(tmp_path: Path) -> None:
    policy = load_policy(policy_file(tmp_path, "model: churn\n"))
    assert policy.metric == "roc_auc"
    assert all((policy.gates.lineage, policy.gates.functional, policy.gates.performance, policy.gates.latency))
    assert policy.drift.cooldown == timedelta(hours=1)


def test_rules_are_read(tmp_path: Path) -> None:
    def rule(text: str) -> object:
        gate = load_policy(policy_file(tmp_path, f"model: m\ngates: {{performance: {{rule: {text}}}}}\n"))
        assert isinstance(gate.gates.performance, Performance)
        return gate.gates.performance.rule

    assert rule("superior") == "superior"
    assert rule("{delta: 0.01}") == Delta(delta=0.01)
    assert rule("{minimum: {roc_auc: 0.6}}") == Minimum(minimum={"roc_auc": 0.6})


def test_the_digest_is_of_the_meaning_not_of_the_text(tmp_path: Path) -> None:
    plain = load_policy(policy_file(tmp_path, "model: m\nmetric: brier\n")).digest
    commented = load_policy(policy_file(tmp_path, "# why\nmetric: brier\nmodel: m\n")).digest
    other = load_policy(policy_file(tmp_path, "model: m\nmetric: log_loss\n")).digest
    served = load_policy(policy_file(tmp_path, "model: m\nmetric: brier\nserving: {parity_tolerance: 0.001}\n")).digest
    assert plain == commented == served != other, "how it is served is no part of how it is judged"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("model: m\nmetrik: roc_auc\n", 2, "unknown key 'metrik'; did you mean 'metric'?"),
        ("model: m\nmetric: roc_auk\n", 2, "did you mean 'roc_auc'?"),
        ("model: m\ngates:\n  performence: {}\n", 3, "did you mean 'performance'?"),
        ("model: m\ngates:\n  performance: {rule: superiour}\n", 3, "did you mean 'superior'?"),
        ("model: m\ngates:\n  latency: {p95_ms: -1}\n", 3, "got -1"),
        ("model: m\nproblem: regression\nmetric: f1\n", 1, "'f1' is not defined for a regression problem"),
        ("model: m\nfloor: {roc_auc: 0.6}\n", 2, "'floor' in this place; it belongs to gates.performance.floor"),
        ("model: m\ngates: {floor: {roc_auc: 0.6}}\n", 2, "it belongs to gates.performance.floor"),
        ("model: m\nlatency: {p95_ms: 9}\n", 2, "it belongs to gates.latency"),
        ("model: m\nminimum: {roc_auc: 0.6}\n", 2, "it belongs to gates.performance.rule.minimum"),
        ("model: m\ndrift: {rows: 500}\n", 2, "it belongs to drift.window.rows"),
        ("model: m\np95_m: 9\n", 2, "did you mean gates.latency.p95_ms?"),
        ("model: m\ngates: [performance]\n", 2, "must be a mapping"),
        ("model: m\nstrategy: canaries\n", 2, "strategy"),
        ("model: m\ngolden: {window: holdout}\n", 1, "needs `entity`"),
        ("model: m\ndrift: {cooldown: soon}\n", 2, "got 'soon'"),
        (
            "model: m\ndrift:\n  metric_drop: {absolut: 3}\n",
            3,
            "drift.metric_drop: metric_drop is {relative: 0.05}, 5 % of",
        ),
        ("model: m\ndrift: {metric_drop: {relative: 0}}\n", 2, "drift.metric_drop.relative: must be greater"),
        (
            "model: m\ndrift: {metric_drop: {relative: 0.05, absolute: 3}}\n",
            2,
            "in the unit of the metric; one of them",
        ),
        ("model: m\nmetric: roc_auc\ndrift: {metric_drop: 5}\n", 1, "for 5 %: 0.05, or {relative: 0.05}"),
        ("model: m\ndrift: {metric_drop: {relative: 5}}\n", 1, "is 500 % of the baseline"),
        ("model: m\nmetric: mae\ndrift: {metric_drop: {relative: 5}}\n", 1, "for 5 %: {relative: 0.05}"),
        ("model: m\ndrift: {windows: {rows: 500}}\n", 2, "unknown key 'windows'; did you mean 'window'?"),
        ("model: m\ndrift: {window: 500}\n", 2, "did you mean {rows: 500}?"),
        ("model: m\ndrift: {retrain: on}\n", 2, "expected always, or on harmful; a model without `recipe`"),
        ("model: m\ndrift: {budget: 1/20}\n", 2, "expected for example 1 in 20: one false alarm in 20 windows"),
        ("model: m\ndrift: {budget: 3 in 4}\n", 2, "at most half of the windows"),
        ("model: m\ndrift: off\n", 2, "{retrain: on harmful}"),
        ("model: m\ndrift:\n", 2, "drift: is empty; it is a mapping, such as {window: {rows: 2000}"),
        ("model: m\ndrift: {drift_share: 20}\n", 2, "did you mean 0.2?"),
        ("model: m\ndrift: {alerts: 0.2}\n", 2, "such as {mape: 0.2, directional_accuracy: 0.55}"),
        ("model: m\nbenchmark: {every: 7}\n", 2, "a duration needs its unit (d, h, m or s); expected for example 7d"),
        ("model: m\nbenchmark: {every: 0}\n", 2, "must be greater than 0 seconds (got 0)"),
        ("model: m\nbenchmark: 7d\n", 2, "did you mean {every: 7d}?"),
        ("model: m\nlabel_maturity: 7\n", 2, "expected for example 7d"),
        ("model: m\nwatch: 24h\n", 2, "did you mean {for: 24h}?"),
        ("model: m\ngolden: latest\n", 2, "did you mean {dataset: latest}?"),
        ("model: m\ngates: off\n", 2, "each gate is switched off by its name"),
        ("model: m\nserving: off\n", 2, "such as {parity_tolerance: …}"),
        ("model: m\ncandidates: 10\n", 2, "for example {retained: 10}"),
        ("model: m\nrecipe: not-a-path\n", 2, "recipe"),
        ("model: m\nstrategy: shadw\n", 2, "'shadw' is not a strategy"),
        ("model: m\nstrategy: {Canary: {}}\n", 2, "did you mean 'canary'?"),
        ("model: m\nstrategy: [shadow, direct]\n", 2, "direct stands alone"),
        ("model: m\nstrategy: {shadow: {}, canary: {}}\n", 2, "expected a list: [{shadow: …}, {canary: …}]"),
        ("model: m\nstrategy:\n- shadow\n- canary: {stepz: [1%]}\n", 4, "'stepz'; did you mean 'steps'?"),
        ("model: m\nstrategy: {shadow: {bake: 5m}}\n", 2, "it belongs to strategy.canary.bake"),
        ("model: m\nstrategy:\n  shadow:\n    rows: a..b\n", 4, "expected for example 2000..50000 (got 'a..b')"),
        ("model: m\nstrategy: {shadow: {rows: 50..10}}\n", 2, "strategy.shadow: rows 50..10: the first number"),
        ("model: m\nstrategy:\n  shadow:\n    on: metrics\n", 4, "did you mean 'metric'?"),
        ("model: m\nstrategy: {shadow: {on: [metric, on]}}\n", 2, "strategy.shadow.on.1: must be"),
        ("model: m\nstrategy: {shadow: {true: metric}}\n", 2, "is it the key `on`?"),
        ("model: m\nstrategy: {shadow: on}\n", 2, "must be a mapping, such as {margin: "),
        ("model: m\nstrategy: {canary: {steps: [50%, 10%]}}\n", 2, "steps 0.5, 0.1: each is larger than the last"),
        ("model: m\nstrategy: {canary: {steps: 10%}}\n", 2, "must be a list, such as [10%]"),
        ("model: m\nstrategy: {canary: {steps: [10, 50]}}\n", 2, "expected for example 10% or 0.1 (got 50)"),
        ("model: m\nstrategy: {canary: {bake: soon}}\n", 2, "expected for example 30s, 10m, 24h or 7d (got 'soon')"),
        ("model: m\nstaging: on\n", 2, "'none' or 'smoke' (got on)"),
        ("model: m\napproval: 2\n", 2, "must be a mapping; did you mean {people: 2}? (got 2)"),
        ("model: m\napproval: {expires: 0s}\n", 2, "greater than 0 seconds (got 0s)"),
        ("model: m\nwatch:\n  fro: 24h\n", 3, "did you mean 'for'?"),
        ("model: m\nlabel_maturities: 7d\n", 2, "did you mean 'label_maturity'?"),
        ("metric: roc_auc\n", 1, "model is missing"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = policy_file(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert f"{path}:{line}: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "model: m\ngates: {performance: {rule: {minimum: {auc: 0.6}}}}\n",
        "model: m\ncandidates: {retaind: 3}\n",
        "model: m\ngolden: {window: holdout}\n",
        "model: m\nfloor: {roc_auc: 0.6}\n",
        "model: m\ndrift: {metric_drop: 5 %}\n",
        "model: m\ndrift: {metric_drop: {absolut: 3}}\n",
        "model: m\nstrategy: {shadow: {rows: a..b}}\n",
        "model: m\nstrategy: {canary: {steps: [ten%]}}\n",
        "model: m\nstrategy: [{shadow: {}}, {cannary: {}}]\n",
        "model: m\nstrategy: {canary: {bake: soon}}\n",
        "model: m\nwatch: 24h\n",
        "model: m\ncandidates: 10\n",
    ],
)
def test_one_mistake_is_one_line_about_what_was_written(tmp_path: Path, text: str) -> None:
    """Not about the other ways in which the key could be used, and without the rest of the file."""
    with pytest.raises(PolicyError) as caught:
        load_policy(policy_file(tmp_path, text))
    (line,) = str(caught.value).splitlines()
    assert "Input should be" not in line and "'model': 'm'" not in line


@pytest.mark.parametrize(
    "text",
    [
        "strategy: {shadow: {on: errors}}",
        "strategy: {shadow: {'on': errors}}",
        "strategy: {shadow: {on: [errors]}}",
        "strategy:\n- shadow:\n    on:\n    - errors",
        "strategy: [{shadow: &judged {on: errors}}]",
    ],
)
def test_the_key_on_is_a_word(tmp_path: Path, text: str) -> None:
    """YAML 1.1 reads it as true."""
    (stage,) = load_policy(policy_file(tmp_path, f"model: m\n{text}\n")).strategy
    assert isinstance(stage, ShadowStage)
    assert stage.shadow.on == ("errors",)


def test_the_key_on_is_a_word_in_what_another_mapping_takes_in(tmp_path: Path) -> None:
    text = "model: m\nstrategy:\n- shadow: &judged {on: [errors, latency]}\n- canary: {<<: *judged, steps: [5%]}\n"
    shadow, canary = load_policy(policy_file(tmp_path, text)).strategy
    assert isinstance(shadow, ShadowStage) and isinstance(canary, CanaryStage)
    assert shadow.shadow.on == canary.canary.on == ("errors", "latency")


def test_a_policy_that_yaml_wrote_is_read_again(tmp_path: Path) -> None:
    text = "model: m\nstrategy: {shadow: {on: errors}}\napproval: on\nwatch: {for: 1h, on: [errors]}\n"
    policy = load_policy(policy_file(tmp_path, text))
    for written in (policy.model_dump(mode="json"), policy.model_dump(mode="json", exclude_unset=True)):
        assert load_policy(policy_file(tmp_path, yaml.safe_dump(written))) == policy
    direct = load_policy(policy_file(tmp_path, "model: m\nproblem: binary\n"))
    written = direct.model_dump(mode="json")
    assert (written["strategy"], written["approval"], written["watch"]) == ("direct", "none", "off")
    assert load_policy(policy_file(tmp_path, yaml.safe_dump(written))).digest == direct.digest


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "\t"])
def test_what_is_no_policy_at_all_is_an_error_too(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyError, match=r"model\.yaml"):
        load_policy(policy_file(tmp_path, text))
