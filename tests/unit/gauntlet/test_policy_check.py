"""`gauntlet policy check`: a mistake is named with its line; a good policy is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.policy import Gates, ModelPolicy
from gauntlet.policy_explain import in_words
from gauntlet.stack_file import URL_VARIABLES
from support.cli import gauntlet, ok

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
    assert set(answer) == {"digest", "policy", "words", "warnings"}
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
    words = said(problem="multiclass", metric="roc_auc_ovr")["drift"]
    assert "roc_auc_ovr is not watched" in words and "worse than at promotion" not in words
    assert "its metric on labelled rows is worse than at promotion by more than 0.05; for" in said()["drift"]
    watched = said(problem="binary")["drift"]
    assert "roc_auc on labelled rows is worse than at promotion by more than 0.05; for" in watched


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
