"""`gauntlet policy check`: a mistake is named with its line; a good policy is said in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chassis.explain.policy import in_words
from contracts.policy import Gates, ModelPolicy
from gauntlet.stack_file import URL_VARIABLES
from support.cli import gauntlet, ok

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
GOOD = """\
model: flights
recipe: examples.flights:recipe
entity: tailnum
gates:
  performance: {rule: non_inferior, floor: {roc_auc: 0.6, log_loss: 0.7}}
  latency: {p95_ms: 20}
drift: {window: {rows: 2000}, cooldown: 90s}
"""


def write(text: str) -> str:
    Path("policy.yaml").write_text(text)
    return "policy.yaml"


def said(**changes: object) -> dict[str, str]:
    return dict(in_words(ModelPolicy.model_validate({"model": "m", **changes})))


def test_a_good_policy_is_said_in_words() -> None:
    out = " ".join(ok("policy", "check", write(GOOD)).out.split())
    assert "policy.yaml is valid" in out
    assert "flights: a binary problem, compared on roc_auc (greater is better)" in out
    assert "roc_auc ≥ 0.6 and log_loss ≤ 0.7" in out
    assert "at most 20 ms" in out
    assert "for one version at most once in 90 seconds" in out
    assert "sha256:" in out


def test_json_has_digest_policy_and_words() -> None:
    answer = ok("policy", "check", write(GOOD), "--json").json
    assert set(answer) == {"digest", "policy", "words", "warnings", "rollout"}
    assert answer["warnings"] == []
    assert answer["policy"]["gates"]["latency"]["p95_ms"] == 20


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("performance: {", "policy.yaml"),
        (GOOD.replace("performance", "performnce"), "policy.yaml:5: gates.performnce: unknown key 'performnce'"),
        (GOOD.replace("p95_ms: 20", "p95_ms: -1"), "got -1"),
        (GOOD + "metric: roc_auk\n", "did you mean 'roc_auc'?"),
        ("- a list", "begins with `model:`"),
    ],
)
def test_a_mistake_is_named_with_line_value_and_nearest_word(wrong: str, expected: str) -> None:
    ended = gauntlet("policy", "check", write(wrong))
    assert ended.code == 1
    assert expected in ended.err


def test_a_policy_that_goes_wrong_is_valid_and_warned_of() -> None:
    text = "model: m\ngolden: {max_rows: 500}\ngates: {performance: {rule: {delta: 0.01}}}\n"
    ended = ok("policy", "check", write(text))
    out = " ".join(ended.out.split())
    assert "with 500 golden rows promotes an equal model about 16 to 28 % of the time" in out
    assert "half of the rows positive" in out
    found = ok("policy", "check", write(text), "--json").json["warnings"]
    assert [about for about, _ in found] == ["gates.performance.rule", "gates.performance.floor"]


def test_a_missing_file_is_named() -> None:
    ended = gauntlet("policy", "check", "nosuch.yaml")
    assert ended.code == 1
    assert "nosuch.yaml" in ended.err


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("superior", "better than that of the champion on the same golden rows, at 95% confidence"),
        ({"delta": 0.01}, "better than that of the champion on the same golden rows by more than 0.01, as measured"),
        ({"minimum": {"brier": 0.2}}, "Must reach brier ≤ 0.2 on the golden rows; the champion is not looked at"),
        ("non_inferior", "not be worse than that of the champion on the same golden rows by more than 2%"),
    ],
)
def test_each_rule_has_its_own_words(rule: object, expected: str) -> None:
    assert expected in said(gates={"performance": {"rule": rule}})["gate performance"]


def test_the_error_rate_is_said_to_be_shared() -> None:
    shared = "shared by all challengers of the same golden rows: 3.04%, 0.76%, 0.34%, …"
    assert shared in said()["gate performance"]
    for without in ({"rule": {"delta": 0.01}}, {"alpha_spending": False}):
        assert "shared" not in said(gates={"performance": without})["gate performance"]


def test_rows_of_one_entity_are_said_to_count_once() -> None:
    assert "Rows with the same tailnum count as one" in said(entity="tailnum")["gate performance"]


def test_what_follows_a_failed_gate_is_said() -> None:
    assert "All of them run" in said()["gates"]
    assert "until one fails" in said(gates={"fail_fast": True})["gates"]


def test_a_metric_that_answers_do_not_carry_is_said_to_be_unwatched() -> None:
    part = "drift of the performance"
    words = said(problem="multiclass", metric="roc_auc_ovr")[part]
    assert "roc_auc_ovr is not watched" in words and "worse than at promotion" not in words
    told = "on labelled rows is shown to be worse than at promotion by more than 5 % of the baseline"
    assert f"its metric {told}" in said()[part]
    assert f"roc_auc {told}" in said(problem="binary")[part]


@pytest.mark.parametrize(
    ("drift", "part", "words"),
    [
        ({}, "drift", "this happens to 1 window in 20 without drift"),
        ({}, "drift", "announced when 2 of 3 windows have drifted, the newest included, 4,000 rows after it began"),
        ({"budget": {"false_alarms": 2, "per_windows": 50}}, "drift", "to 2 windows in 50"),
        ({"after": "1 of 1"}, "drift", "Each window that has drifted is announced, 2,000 rows"),
        ({"drift_share": 0.3}, "drift", "30% of the columns are beyond the fixed limit 0.1"),
        ({"retrain": "on harmful"}, "drift", "trained again if the drift is estimated to be harmful"),
        ({"metric_drop": {"absolute": 0.02}}, "drift of the performance", "by more than 0.02"),
        (
            {"alerts": {"mape": 0.2, "directional_accuracy": 0.55}},
            "drift alerts",
            "mape above 0.2 or directional_accuracy below 0.55",
        ),
    ],
)
def test_each_key_of_drift_is_explained(drift: dict[str, object], part: str, words: str) -> None:
    assert words in said(recipe="m:recipe", drift=drift)[part]
    assert drift.get("alerts") or "drift alerts" not in said(drift=drift)


def test_a_benchmark_is_explained() -> None:
    assert said()["benchmark"].startswith("Off: ")
    assert "Every 7 days the champion" in said(benchmark={"every": "7d"})["benchmark"]
    assert "a tournament follows" in said(benchmark={"every": "7d", "tournament": True})["benchmark"]


def test_batches_and_the_champion_are_said_where_they_count() -> None:
    words = said(gates={"latency": {"batch_p95_ms": 80, "batch_rows": 500, "times_champion": 1.5}})["gate latency"]
    assert "at most 50 ms, of batches of 500 rows 80 ms, loading at most 30 s. Nor more than 1.5 times" in words
    assert "batches" not in said()["gate latency"]


def test_a_gate_that_is_off_says_so() -> None:
    assert said(gates={"latency": False})["gate latency"] == "Off: nothing is asked."
    assert "A worse model passes" in said(gates={"performance": False})["gate performance"]


def test_without_a_recipe_nothing_can_be_trained() -> None:
    words = said()
    assert "No recipe" in words["training"]
    assert "there is no recipe to train with" in words["drift"]


def test_holdout_names_the_entity_and_the_share() -> None:
    words = said(entity="user_id", golden={"window": "holdout", "share": 0.25})
    assert "25% of the values of user_id" in words["golden rows"]


def test_who_may_become_champion_is_said() -> None:
    assert "an earlier one when a person says so" in said(candidates="newest")["candidates"]
    assert "when it drifts" not in said(candidates="retained")["candidates"]
    assert "when it drifts" in said(candidates="retained", golden={"dataset": "latest"})["candidates"]
    kept = said(candidates={"retained": 10, "max_age": "90d"})["candidates"]
    assert "The newest 10 earlier versions, none registered more than 90 days ago" in kept


def test_a_problem_that_the_policy_leaves_out_is_found_later() -> None:
    assert "the problem is found from each version" in said()["model"]
    assert "roc_auc if binary, accuracy if multiclass, mae if regression" in said()["model"]
    assert "compared on accuracy" in said(metric="accuracy")["model"]
    assert said(metric="mae")["model"] == "m: a regression problem, compared on mae (smaller is better)."


def test_every_gate_that_is_on_is_said() -> None:
    named = {
        "slices": {"columns": ["plan"]},
        "fairness": {"columns": ["sex"]},
        "robustness": True,
        "dependents": {"consumers": [{"name": "billing"}]},
    }
    words = said(gates=named, problem="binary")
    assert {f"gate {gate}" for gate in Gates.model_fields if gate != "fail_fast"} <= words.keys()
    assert "at least 200 must remain" in words["gate leakage"] and "is Inconclusive" in words["gate leakage"]
    assert "plan" in words["gate slices"] and "sex" in words["gate fairness"] and "billing" in words["gate dependents"]
    assert "passes" in said(gates={"leakage": {"unknown": "pass"}})["gate leakage"]
    assert "gate slices" not in said()


def test_without_a_file_the_whole_folder_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in URL_VARIABLES.values():
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("POLICIES_DIR", raising=False)
    Path("policies").mkdir()
    Path("policies/flights.yaml").write_text(GOOD)
    shown = ok("policy", "check")
    assert "policies in policies/" in shown.out and "nothing runs" in shown.out
    assert ok("policy", "check", "--json").json["in_force"]["flights"]["file"] == "flights.yaml"
    Path("policies/broken.yaml").write_text("model: broken\nmetrik: mae\n")
    ended = gauntlet("policy", "check")
    assert ended.code == 1 and "flights.yaml" in ended.out
    assert "policies/broken.yaml:2: metrik: unknown key 'metrik'; did you mean 'metric'?" in " ".join(ended.err.split())


def test_without_a_strategy_a_version_is_promoted_at_once() -> None:
    words = said()
    assert words["promotion"] == "A candidate that passes every gate is promoted at once, without anybody's approval."
    assert not {"shadow", "canary", "A/B test", "approval", "watch", "labels", "staging"} & words.keys()
    assert "promoted at once, without anybody's approval, and then watched" in said(watch="on")["promotion"]


def test_each_step_of_a_rollout_is_said_in_its_order() -> None:
    words = said(
        problem="binary",
        entity="tailnum",
        staging="smoke",
        strategy=[{"shadow": {"rows": "2000..50000"}}, {"canary": {"steps": ["1%", "10%"], "bake": "30m"}}],
        approval={"people": 2, "expires": "72h"},
        watch={"for": "24h", "on": ["errors", "metric"]},
        label_maturity="7d",
    )
    order = ["promotion", "staging", "shadow", "canary", "labels", "approval", "watch"]
    assert [subject for subject in words if subject in order] == order
    assert "after staging, then shadow, then canary, then approval." in words["promotion"]
    assert "first version skips the trials" in words["promotion"] and "waits for the end" in words["promotion"]
    shadow = words["shadow"]
    assert "off the path of the request" in shadow and "fail on more than 0.1% of its predictions" in shadow
    assert "from 2,000 labelled values of tailnum on" in shadow and "At 50,000 the champion stays" in shadow
    assert "better than the champion (α 5%)" in shadow and "slow" not in shadow
    assert "serves 1%, then 10% of the values of tailnum, by stable hash" in words["canary"]
    assert "at least 30 minutes and 100 of its predictions" in words["canary"]
    assert "above 1.5 times the champion's 95th percentile" in words["canary"]
    assert "from an age of 7 days on" in words["labels"]
    assert "Brier score (score - y)²: roc_auc has no value for a single row" in words["labels"]
    assert "2 different people must agree (gauntlet approve), none of whom registered" in words["approval"]
    assert "After 3 days the request counts as refused" in words["approval"]
    assert "For 1 day after a promotion the former champion predicts in shadow" in words["watch"]
    assert "takes over again, without anybody's approval" in words["watch"] and "slow" not in words["watch"]


def test_what_a_shadow_decides_on_is_said() -> None:
    agreement = said(strategy={"shadow": {"on": ["agreement"], "agreement": 0.9}})
    assert "agree with the champion on more than 90% of the rows" in agreement["shadow"]
    assert "The true values are not looked at" in agreement["shadow"] and "labels" not in agreement
    assert "What it predicts is not looked at" in said(strategy={"shadow": {"on": ["errors"]}})["shadow"]
    margin = said(strategy={"shadow": {"margin": 0.01}})["shadow"]
    assert "worse than the champion by less than 1% of the loss's range" in margin


def test_an_ab_test_and_a_canary_on_labels_are_said() -> None:
    ab = said(strategy={"ab": {"share": "20%", "maximum": 5000}})["A/B test"]
    assert "serves 20% of the requests, by a hash of their ids" in ab and "At 5,000 of both the champion stays" in ab
    canary = said(strategy={"canary": {"on": ["metric"]}})["canary"]
    assert "The last step ends as soon as it is shown to be better" in canary
    assert "Every step ends the rollout as soon as the version is shown to be worse" in canary


@pytest.mark.parametrize(
    ("problem", "metric", "expected"),
    [
        ("binary", "brier", "compared by the Brier score (score - y)²."),
        ("binary", "f1", "right or wrong: f1 has no value for a single row"),
        ("binary", "accuracy", "compared by right or wrong."),
        ("multiclass", "roc_auc_ovr", "right or wrong: roc_auc_ovr has no value"),
        ("regression", "mae", "compared by the absolute error. Losses are divided by a scale"),
        ("regression", "mase", "the absolute error: mase has no value for a single row"),
        ("regression", "pinball_90", "compared by the pinball loss. Losses"),
    ],
)
def test_the_loss_that_stands_for_a_metric_is_said(problem: str, metric: str, expected: str) -> None:
    assert expected in said(problem=problem, metric=metric, strategy="shadow")["labels"]


def test_a_watch_that_may_not_roll_back_says_so() -> None:
    assert "that is reported, and nothing is changed" in said(watch={"rollback": False})["watch"]


ROLLOUT = """\
model: m
problem: binary
metric: accuracy
entity: user
label_maturity: 0s
gates: {performance: {rule: superior, floor: {accuracy: 0.6}}}
strategy: [{shadow: {rows: 500..50000}}, {canary: {steps: [1%, 50%], bake: 10m}}]
"""


def test_what_a_rollout_needs_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = ok("policy", "check", write(ROLLOUT)).out
    lines = [line.split() for line in out.splitlines()]
    head = next(line for line in lines if line[:2] == ["step", "shows"])
    assert " ".join(head).endswith("at 1 user/s at 10 user/s at 100 user/s")
    steps = [line[0] for line in lines[lines.index(head) + 1 :]][:5]
    assert steps == ["shadow", "shadow", "canary", "canary", "all"]
    assert "accuracy 0.75 whose scores correlate by 0.9" in " ".join(out.split())


def pages() -> list[tuple[str, str]]:
    """The policies in the how-to guides, and the page of each."""
    return [
        (page, block)
        for page in ("rollouts", "policies")
        for block in re.findall(r"^```yaml\n(.*?)^```", (HOW_TO / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
        if block.startswith("model:")
    ]


@pytest.mark.parametrize(("page", "text"), pages())
def test_a_policy_of_a_page_is_one(page: str, text: str) -> None:
    out = ok("policy", "check", write(text)).out
    assert ("what a rollout needs" in out) == (page == "rollouts")


def test_each_kind_of_rollout_has_a_policy_on_its_page() -> None:
    said = " ".join(text for page, text in pages() if page == "rollouts")
    assert all(f"{kind}: {{" in said for kind in ("shadow", "canary", "ab", "approval", "watch"))


def test_the_rate_of_production_may_be_given() -> None:
    found = ok("policy", "check", write(ROLLOUT), "--rate", "30/min", "--json").json
    steps = {each["step"]: each for each in found["rollout"] if each["gain"]}
    assert steps["canary 1%"]["seconds"] == {"0.5/s": 20_000.0}
    assert steps["canary 50%"]["seconds"] == {"0.5/s": 600.0}
    said = dict(found["warnings"])["strategy.canary.minimum"]
    assert "At 0.5 a second 1% of them has 100 predictions after 5.6 h, not after 10 minutes" in said
    ended = gauntlet("policy", "check", write(ROLLOUT), "--rate", "fast")
    assert ended.code == 2 and "'fast' is not a rate" in " ".join(ended.err.split())
