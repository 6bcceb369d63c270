"""Warnings of `gauntlet policy check`: the figures are those of a simulation, and good policies have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from chassis.policy_store import PolicyStore
from contracts.policy import ModelPolicy
from gauntlet.policy_lint import warnings
from gauntlet.power_analysis import (
    any_passes,
    auc_error,
    difference_error,
    disagreement,
    equal_passes,
    near_miss_passes,
    rows_needed,
)

FLOOR = {"floor": {"roc_auc": 0.6}}
POLICIES = Path(__file__).parents[3] / "policies"


def warned(**changes: object) -> dict[str, str]:
    return dict(warnings(ModelPolicy.model_validate({"model": "m", **changes})))


@pytest.mark.parametrize(("correlation", "simulated"), [(0.9, 0.165), (0.7, 0.29)])
def test_the_risk_of_a_step_is_the_simulated_one(correlation: float, simulated: float) -> None:
    """The figures of benchmarks/false_promotion.py, and of tests/unit/gatekeeper/test_gate_simulation.py."""
    assert equal_passes("roc_auc", 0.01, 500, correlation) == pytest.approx(simulated, abs=0.015)


def test_the_standard_error_of_an_auc_is_the_simulated_one() -> None:
    random = np.random.default_rng(1)
    apart = np.sqrt(2) * stats.norm.ppf(0.75)
    areas = [stats.mannwhitneyu(random.normal(apart, 1, 100), random.normal(size=100))[0] / 1e4 for _ in range(1500)]
    assert auc_error(0.75, 200) == pytest.approx(np.std(areas), rel=0.08)


@pytest.mark.parametrize("correlation", [0.7, 0.9])
@pytest.mark.parametrize("accuracy", [0.6, 0.75, 0.96])
def test_the_disagreement_of_two_models_is_that_of_the_bivariate_normal(accuracy: float, correlation: float) -> None:
    limit = stats.norm.ppf(accuracy)
    both = stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf([limit, limit])
    assert disagreement(accuracy, correlation) == pytest.approx(2 * (accuracy - both), abs=1e-4)


def test_a_near_miss_of_an_accuracy_is_binomial() -> None:
    assert near_miss_passes("accuracy", 0.9, 500) == pytest.approx(stats.binom.sf(449, 500, 0.89), abs=0.005)
    assert near_miss_passes("log_loss", 0.9, 500) is None


def test_many_equal_challengers_are_correlated_through_the_champion() -> None:
    random = np.random.default_rng(2)
    qualities = random.normal(size=(20_000, 21))
    better = (qualities[:, 1:] - qualities[:, :1]) / np.sqrt(2) > stats.norm.ppf(0.95)
    assert any_passes(0.05, 20) == pytest.approx(better.any(axis=1).mean(), abs=0.015)


def test_with_the_rows_that_are_needed_the_risk_is_alpha() -> None:
    for metric in ("roc_auc", "accuracy"):
        rows = rows_needed(metric, 0.01, stats.norm.ppf(0.95), 0.9)
        assert rows is not None
        assert equal_passes(metric, 0.01, rows, 0.9) == pytest.approx(0.05, abs=0.002)
    assert difference_error("mae", 500, 0.9) is None


def test_the_shipped_policies_have_no_warning() -> None:
    for policy in PolicyStore(POLICIES).values():
        assert warnings(policy) == [], policy.model


def test_a_step_says_its_risk_and_the_rows_it_needs() -> None:
    said = warned(golden={"max_rows": 500}, gates={"performance": {"rule": {"delta": 0.01}}})["gates.performance.rule"]
    assert "delta 0.01 with 500 golden rows promotes an equal model about 16 to 28 % of the time" in said
    assert "you need 1,400 to 4,100 rows" in said


def test_a_step_on_many_rows_says_what_it_is_on_few() -> None:
    said = warned(gates={"performance": {"rule": {"delta": 0.01}}})["gates.performance.rule"]
    assert "less than 0.1 % of the time, with 500 of them about 16 to 28 %" in said


def test_a_step_of_a_metric_without_a_scale_says_that() -> None:
    gates = {"performance": {"rule": {"delta": 0.01}}}
    assert "the scale of mae" in warned(problem="regression", metric="mae", gates=gates)["gates.performance.rule"]


@pytest.mark.parametrize(
    ("performance", "about", "says"),
    [
        ({"rule": {"delta": -0.02}} | FLOOR, "gates.performance.rule", "worse, by up to 0.02 each time"),
        ({"rule": {"minimum": {"accuracy": 0.9}}}, "gates.performance.rule", "champion is not looked at"),
        ({"alpha": 0.25} | FLOOR, "gates.performance.alpha", "promoted in 25% of all cases"),
        ({"margin_share": 0.2} | FLOOR, "gates.performance.margin_share", "after five of them 33% may be left"),
        ({"rule": "superior", "alpha_spending": False} | FLOOR, "gates.performance.alpha_spending", "better 34%"),
        ({}, "gates.performance.floor", "Missing"),
    ],
)
def test_each_known_mistake_is_said_where_it_is_made(performance: dict[str, object], about: str, says: str) -> None:
    found = warned(gates={"performance": performance})
    assert list(found) == [about]
    assert says in found[about]


def test_a_gate_that_is_off_is_warned_of() -> None:
    assert "worse model is promoted" in warned(gates={"performance": False})["gates.performance"]


def test_a_minimum_says_how_often_it_is_reached_by_chance() -> None:
    rule = {"rule": {"minimum": {"accuracy": 0.9}}}
    said = warned(golden={"max_rows": 500}, gates={"performance": rule})["gates.performance.rule"]
    assert "a model of true accuracy 0.89 reaches 0.9 26% of the time" in said


def test_accuracy_of_a_rare_class_has_no_margin() -> None:
    found = warned(metric="accuracy", gates={"performance": {"floor": {"accuracy": 0.6}}})
    assert "4,700,000 rows are needed" in found["metric"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [(20_000, None), (2000, "which needs 16,000 even for models that correlate by 0.9"), (20, "no candidate is ever")],
)
def test_rows_that_can_never_decide_are_warned_of(rows: int, says: str | None) -> None:
    found = warned(golden={"max_rows": rows}, gates={"performance": FLOOR})
    assert list(found) == ([] if says is None else ["golden.max_rows"])
    assert says is None or says in found["golden.max_rows"]


def rollout_warned(rate: float | None = None, **changes: object) -> dict[str, str]:
    given = {"problem": "binary", "gates": {"performance": FLOOR}, **changes}
    return dict(warnings(ModelPolicy.model_validate({"model": "m", **given}), rate))


GOOD_ROLLOUT = {
    "entity": "user",
    "label_maturity": "0s",
    "strategy": [{"shadow": {"on": ["metric", "errors"]}}, {"canary": {}}],
    "approval": {"people": 1},
    "watch": {"for": "24h"},
}


@pytest.mark.parametrize(
    ("changes", "about", "says"),
    [
        ({}, None, ""),
        ({"strategy": "canary"}, "strategy", "No step compares predictions"),
        ({"strategy": {"ab": {}}, "entity": None}, "entity", "It concerns strategy.ab."),
        ({"strategy": {"shadow": {"on": "agreement"}}}, "strategy.shadow.on", "nobody knows the true values"),
        ({"strategy": {"shadow": {"on": ["metric", "latency"]}}}, "strategy.shadow.on", "A canary measures both alike"),
        (
            {"strategy": {"canary": {"on": ["metric"]}}, "label_maturity": "1h"},
            "strategy.canary.bake",
            "10 minutes, and labels take 1 hour: all steps but the last can be over before a label counts",
        ),
        (
            {"label_maturity": "2d"},
            "watch.for",
            "1 day, and labels take 2 days: no label counts before the watch is over",
        ),
        ({"approval": {"people": 3}}, "approval.people", "names are not verified"),
        (
            {"strategy": {"shadow": {"rows": "100..300"}}},
            "strategy.shadow.rows",
            "At most 300 users are too few",
        ),
    ],
)
def test_each_known_problem_of_a_rollout_is_said(changes: dict[str, object], about: str | None, says: str) -> None:
    found = rollout_warned(**{**GOOD_ROLLOUT, **changes})
    assert list(found) == ([about] if about else [])
    assert about is None or says in found[about]


def test_labels_whose_maturity_is_not_said_are_warned_of() -> None:
    unsaid = {name: value for name, value in GOOD_ROLLOUT.items() if name != "label_maturity"}
    assert list(rollout_warned(**unsaid)) == ["label_maturity"]


def test_a_step_that_lasts_longer_than_its_bake_is_warned_of_where_the_rate_is_known() -> None:
    assert rollout_warned(rate=100.0, **GOOD_ROLLOUT) == {}
    said = rollout_warned(rate=1.0, **GOOD_ROLLOUT)["strategy.canary.minimum"]
    assert "At 1 a second 1% of them has 100 predictions after 2.8 h, not after 10 minutes (bake)" in said


def test_a_rollout_is_warned_of_although_the_gate_is_off() -> None:
    found = rollout_warned(gates={"performance": False}, strategy={"canary": {"on": "metric"}})
    assert {"gates.performance", "entity", "label_maturity"} <= found.keys()


@pytest.mark.parametrize(
    ("drift", "subject", "words"),
    [
        ({"drift_share": 0.5}, "drift.drift_share", "0.5 never alarms on a single broken column"),
        ({"drift_share": 0.5}, "drift.drift_share", "more than 2 columns"),
        ({"drift_share": 1}, "drift.drift_share", "more than 1 column."),
        ({"drift_share": 0.02}, "drift.drift_share", "on ordinary days"),
        ({"budget": {"false_alarms": 1, "per_windows": 500}}, "drift.budget", "needs 499 past windows (998,000 rows)"),
        ({"after": "3 of 4", "window": {"rows": 20000}}, "drift.after", "60,000 rows after it began at the earliest"),
    ],
)
def test_rules_of_drift_that_are_blind_or_late_or_cannot_be_calibrated_are_warned_of(drift, subject, words) -> None:
    assert words in warned(drift=drift)[subject]


def test_rules_of_drift_that_keep_their_budget_have_no_warning() -> None:
    for drift in ({}, {"budget": {"false_alarms": 1, "per_windows": 200}}, {"after": "1 of 1"}):
        assert not [subject for subject in warned(drift=drift) if subject.startswith("drift")]
    assert "there is no recipe" in warned(drift={"retrain": "on harmful"})["drift.retrain"]
    assert "drift.retrain" not in warned(drift={"retrain": "on harmful"}, recipe="m:recipe")


def test_a_tournament_needs_versions_that_are_retained() -> None:
    benchmark = {"every": "7d", "tournament": True}
    assert "candidates: retained" in warned(benchmark=benchmark, candidates="newest")["benchmark.tournament"]
    assert "benchmark.tournament" not in warned(benchmark=benchmark, candidates="retained")
