"""What differs between two policies: a table of cases for each kind of key, and the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chassis.yaml_file import parse_yaml
from contracts.policy import ModelPolicy
from gauntlet.policy_diff import changes
from gauntlet.policy_directions import RULES
from support.cli import gauntlet

KEYS = Path(__file__).parents[3] / "docs" / "reference" / "policy-keys.md"


def policy(content: str) -> ModelPolicy:
    written = f"model: m\nproblem: binary\n{content}\n"
    return parse_yaml(written.encode(), Path("m.yaml"), ModelPolicy, "policy", "model: m")


CASES = [
    # a limit, a requirement
    ("gates: {latency: {p95_ms: 100}}", "gates: {latency: {p95_ms: 200}}", "looser", "p95_ms: 100 → 200"),
    ("gates: {latency: {p95_ms: 100}}", "", "tighter", "p95_ms: 100 → 50 (default)"),
    ("", "gates: {latency: {memory_mb: 100}}", "tighter", "memory_mb: none (default) → 100"),
    ("gates: {latency: {memory_mb: 100}}", "", "looser", "memory_mb: 100 → none (default)"),
    ("", "gates: {leakage: {minimum_rows: 300}}", "tighter", "minimum_rows: 200 (default) → 300"),
    ("approval: {people: 2}", "approval: {people: 1}", "looser", "approval.people: 2 → 1"),
    ("approval: {expires: 3d}", "approval: {expires: 7d}", "looser", "expires: 3 d → 7 d"),
    # words in an order; words without one
    ("", "gates: {performance: {rule: superior}}", "tighter", "rule: non_inferior (default) → superior"),
    ("gates: {leakage: {unknown: inconclusive}}", "gates: {leakage: {unknown: pass}}", "looser", "→ pass"),
    ("", "gates: {performance: {alpha_spending: false}}", "looser", "alpha_spending: true (default) → false"),
    ("", "staging: smoke", "tighter", "staging: none (default) → smoke"),
    ("", "supersede: newest", "changed", "supersede: wait (default) → newest"),
    ("", "gates: {performance: {rule: {delta: 0.1}}}", "changed", "rule: non_inferior (default) → delta 0.1"),
    (
        "gates: {performance: {rule: {delta: 0.2}}}",
        "gates: {performance: {rule: {delta: 0.1}}}",
        "looser",
        "rule.delta: 0.2 → 0.1",
    ),
    # lists
    ("", "gates: {lineage: {require: [run, signature, code]}}", "tighter", "[run, signature] (default) → [run"),
    ("", "gates: {lineage: {require: [run, code]}}", "changed", "require"),
    ("", "gates: {integrity: {accepted: [CVE-1]}}", "looser", "accepted: [] (default) → [CVE-1]"),
    ("watch: {on: errors}", "watch: {on: [errors, metric]}", "tighter", "watch.on: [errors] → [errors, metric]"),
    # what is switched on and off
    ("", "gates: {latency: false}", "looser", "gates.latency is switched off"),
    ("", "gates: {slices: {columns: [a]}}", "tighter", "gates.slices is switched on: columns [a]"),
    ("", "approval: on", "tighter", "approval is switched on: people 1"),
    ("watch: on", "watch: off", "looser", "watch is switched off"),
    ("", "benchmark: on", "changed", "benchmark is switched on"),
    ("", "strategy: shadow", "tighter", "strategy.shadow is switched on"),
    ("strategy: canary", "strategy: direct", "looser", "strategy.canary is switched off"),
    # of metrics, by which is better
    ("", "gates: {performance: {floor: {roc_auc: 0.6}}}", "tighter", "floor.roc_auc: none (default) → 0.6"),
    (
        "gates: {performance: {floor: {roc_auc: 0.6}}}",
        "gates: {performance: {floor: {roc_auc: 0.7}}}",
        "tighter",
        "floor.roc_auc: 0.6 → 0.7",
    ),
    (
        "gates: {performance: {floor: {log_loss: 0.6}}}",
        "gates: {performance: {floor: {log_loss: 0.7}}}",
        "looser",
        "floor.log_loss: 0.6 → 0.7",
    ),
    ("drift: {alerts: {roc_auc: 0.6}}", "", "looser", "alerts.roc_auc: 0.6 → none (default)"),
    # a strategy's and drift's figures
    (
        "strategy: {canary: {bake: 1h}}",
        "strategy: {canary: {bake: 1m}}",
        "looser",
        "strategy.canary.bake: 60 min → 60 s",
    ),
    ("strategy: {canary: {errors: 0.1}}", "strategy: {canary: {errors: 0.01}}", "tighter", "canary.errors: 0.1 → 0.01"),
    ("strategy: {canary: {}}", "strategy: {canary: {steps: [5%]}}", "changed", "canary.steps"),
    (
        "strategy: [shadow, canary]",
        "strategy: [canary, shadow]",
        "changed",
        "order: [shadow, canary] → [can",
    ),
    ("", "drift: {budget: 1 in 40}", "looser", "budget.per_windows: 20 (default) → 40"),
    ("", "drift: {budget: 2 in 20}", "tighter", "budget.false_alarms: 1 (default) → 2"),
    ("", "drift: {after: 1 of 3}", "changed", "drift.after: 2 of 3 (default) → 1 of 3"),
    ("drift: {metric_drop: 0.1}", "drift: {metric_drop: 0.2}", "looser", "metric_drop: 0.1 → 0.2"),
    (
        "drift: {metric_drop: 0.1}",
        "drift: {metric_drop: {relative: 0.1}}",
        "changed",
        ": 0.1 → relative 0.1",
    ),
    # whatever else
    ("", "metric: accuracy", "changed", "metric: roc_auc → accuracy"),
    ("", "label: late", "changed", "label: none (default) → late"),
    ("", "features: {table: t, key: k}", "changed", "features is switched on: table t, key k"),
    ("", "candidates: newest", "changed", "candidates"),
    (
        "gates: {dependents: {consumers: [{name: mail, threshold: 0.5, flagged_change: 0.1}]}}",
        "gates: {dependents: {consumers: [{name: mail, threshold: 0.5, flagged_change: 0.2}]}}",
        "looser",
        "consumers.[mail].flagged_change: 0.1 → 0.2",
    ),
    (
        "gates: {dependents: {}}",
        "gates: {dependents: {consumers: [{name: mail, threshold: 0.5}]}}",
        "tighter",
        "gates.dependents.consumers.[mail] is switched on",
    ),
]


@pytest.mark.parametrize(("old", "new", "direction", "words"), CASES, ids=lambda value: str(value)[:60])
def test_one_change(old: str, new: str, direction: str, words: str) -> None:
    (change,) = changes(policy(old), policy(new))
    assert (change.direction, words in change.in_words) == (direction, True), change.in_words
    back = {"looser": "tighter", "tighter": "looser"}.get(direction, direction)
    assert [each.direction for each in changes(policy(new), policy(old))] == [back]


@pytest.mark.parametrize("content", sorted({case[1] for case in CASES}))
def test_a_policy_does_not_differ_from_itself_however_it_is_written(content: str) -> None:
    found = policy(content)
    assert changes(found, policy(content)) == []
    whole = ModelPolicy.model_validate(found.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert changes(found, whole) == []


def test_every_key_of_the_table_is_a_key_of_a_policy() -> None:
    known = set(re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+|\[\])*)`", KEYS.read_text()))
    assert RULES.keys() - known == set()


def test_the_command_says_it_and_its_exit_code_is_for_ci(tmp_path: Path) -> None:
    old, new, same = (tmp_path / f"{name}.yaml" for name in ("old", "new", "same"))
    old.write_text("model: m\nproblem: binary\ngates: {latency: {p95_ms: 100}}\n")
    new.write_text("model: m\nproblem: binary\ngates: {latency: {p95_ms: 200}}\nsupersede: newest\n")
    same.write_text("# the same\n" + old.read_text())
    diff = ("policy", "diff", str(old))
    assert gauntlet(*diff, str(same)).out == "m: nothing changes\n"
    told = gauntlet(*diff, str(new))
    assert told.code == 0
    assert "looser" in told.out
    assert "gates.latency.p95_ms: 100 → 200" in told.out
    assert gauntlet(*diff, str(new), "--json").json["changes"][0]["direction"] == "looser"
    codes = {fail_on: gauntlet(*diff, str(new), "--fail-on", fail_on).code for fail_on in ("looser", "changed", "any")}
    assert codes == {"looser": 3, "changed": 3, "any": 3}
    tighter = ("policy", "diff", str(new), str(old), "--fail-on")
    assert [gauntlet(*tighter, each).code for each in ("looser", "changed", "any")] == [0, 3, 3]
    assert gauntlet(*diff, str(same), "--fail-on", "any").code == 0
    new.write_text("model: other\n")
    assert gauntlet(*diff, str(new)).code == 1
