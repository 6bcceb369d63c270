"""The policy's part on drift: a budget of false alarms, in how many windows it must be seen, and what follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.drift_settings import After, Budget, Drift
from contracts.policy import ModelPolicy


@pytest.mark.parametrize(
    ("written", "read"),
    [("2 of 3", (2, 3)), ("1 of 1", (1, 1)), (" 3  of 20 ", (3, 20)), (1, (1, 1)), (2, (2, 2))],
)
def test_after_is_a_number_of_windows(written: Any, read: tuple[int, int]) -> None:
    drift = Drift.model_validate({"after": written})
    assert drift.after == After(*read)
    assert Drift.model_validate_json(drift.model_dump_json()) == drift


@pytest.mark.parametrize("written", ["4 of 3", "0 of 3", "2 of 21", "2/3", "often", True, 1.5, None, [2, 3]])
def test_and_nothing_else(written: Any) -> None:
    with pytest.raises(ValidationError, match="expected for example 2 of 3"):
        Drift.model_validate({"after": written})


def test_the_budget_is_a_share_of_the_windows() -> None:
    assert Budget().share == 0.05 and Budget().in_words == "1 false alarm in 20 windows"
    assert Budget(false_alarms=2, per_windows=100).share == 0.02
    with pytest.raises(ValidationError, match="3 false alarms in 5 windows: at most half"):
        Budget(false_alarms=3, per_windows=5)


def test_a_budget_may_be_written_as_it_is_said() -> None:
    found = Drift.model_validate({"budget": "1 in 50"})
    assert found.budget == Budget(false_alarms=1, per_windows=50)
    assert Drift.model_validate_json(found.model_dump_json()) == found


def test_what_was_stored_before_it_was_refused_is_still_read() -> None:
    stored = {"model": "m", "metric": "roc_auc", "label_maturity": 7, "drift": {"metric_drop": 5, "cooldown": 60}}
    policy = ModelPolicy.model_validate(stored)
    assert (policy.label_maturity, policy.drift.cooldown) == (timedelta(seconds=7), timedelta(minutes=1))


def test_zero_needs_no_unit() -> None:
    context = {"written": True}
    written = ModelPolicy.model_validate({"model": "m", "label_maturity": 0, "drift": {"cooldown": 0}}, context=context)
    assert written.label_maturity == written.drift.cooldown == timedelta(0)


def test_a_share_and_a_budget_are_two_rules() -> None:
    assert Drift.model_validate({"drift_share": 0.2}).drift_share == 0.2
    with pytest.raises(ValidationError, match="leave one of them out"):
        Drift.model_validate({"drift_share": 0.2, "budget": {"per_windows": 50}})


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"drift": {"alerts": {"mape": 0.2, "directional_accuracy": 0.55}}}, "regression"),
        ({"problem": "regression", "metric": "rmse", "drift": {"alerts": {"mae": 3, "pinball_90": 2}}}, "regression"),
        ({"metric": "roc_auc", "drift": {"alerts": {"f1": 0.7}}}, "binary"),
    ],
)
def test_alerts_are_on_metrics_of_the_problem(policy: dict[str, Any], problem: str) -> None:
    found = ModelPolicy.model_validate({"model": "m", **policy})
    assert (found.problem, found.drift.alerts) == (problem, policy["drift"]["alerts"])
    assert "mape" not in found.metrics, "gates do not judge by it"


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"problem": "binary", "drift": {"alerts": {"mape": 0.2}}}, "'mape' is not defined for a binary problem"),
        ({"metric": "f1", "drift": {"alerts": {"mae": 2}}}, "no problem has all of these metrics: f1, mae"),
        ({"drift": {"alerts": {"mape": 0.2, "f1": 0.5}}}, "no problem has all of these metrics: f1, mape"),
        ({"problem": "regression", "drift": {"alerts": {"r2": 0.5}}}, "unknown metric 'r2'"),
        ({"problem": "multiclass", "drift": {"alerts": {"roc_auc_ovr": 0.8}}}, "needs the score of each class"),
    ],
)
def test_and_on_no_other(policy: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelPolicy.model_validate({"model": "m", **policy})


def test_a_policy_that_a_person_wrote_states_one_rule_even_with_the_default_budget() -> None:
    both = {"drift_share": 0.2, "budget": {"false_alarms": 1, "per_windows": 20}}
    with pytest.raises(ValidationError, match="leave one of them out"):
        Drift.model_validate(both, context={"written": True})
    assert Drift.model_validate(both).drift_share == 0.2, "as evidence has it"


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({"accuracy": 70}, "accuracy is from 0 to 1, and 70 is not between them; did you mean 0.7?"),
        ({"directional_accuracy": 55}, "did you mean 0.55?"),
        ({"roc_auc": 1.7}, "roc_auc is from 0 to 1, and 1.7 is not between them"),
        ({"roc_auc": -1}, "roc_auc is from 0 to 1, and -1 is not between them"),
        ({"mape": 0}, "mape is never below 0: 0 would always alarm"),
    ],
)
def test_alerts_that_always_or_never_alarm_are_refused(alerts: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Drift.model_validate({"alerts": alerts})
    assert said in str(refused.value)
    assert Drift.model_validate({"alerts": {"mape": 20, "roc_auc": 0.6}}).alerts == {"mape": 20, "roc_auc": 0.6}
