"""The verdict on a window's performance, as tables of cases: limits, evidence, several tests, what cannot be judged."""

from __future__ import annotations

import pytest

from contracts import DriftKind, Outcome
from contracts.drift_settings import AbsoluteDrop, Budget, RelativeDrop
from contracts.metrics import METRICS
from drift.policy.estimates import Uncertainty
from drift.policy.performance import (
    DROP,
    Judged,
    Labelled,
    alert_limits,
    drop_limit,
    judge_performance,
)
from drift.policy.sequential import Evidence

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
SE = 0.01


def seen(observed: float | None, se: float = SE, n: int = 900, **more) -> Labelled:
    return Labelled(1000, n, more.pop("classes", 2), observed, uncertainty=Uncertainty(se, n, "rows"), **more)


def judged(window, metric="roc_auc", baseline=0.75, drop=0.05, states=None, of_baseline=None, budget=None) -> Judged:
    limit = drop_limit(metric, baseline, drop, of_baseline)
    return judge_performance([(limit, window)], states or {}, budget or Budget())


@pytest.mark.parametrize(
    ("metric", "baseline", "observed", "outcome"),
    [
        ("roc_auc", 0.75, 0.71, PASSED),
        ("roc_auc", 0.75, 0.69, PASSED),  # one standard error beyond the bound is chance
        ("roc_auc", 0.75, 0.66, FAILED),
        ("roc_auc", 0.75, 0.90, PASSED),
        ("accuracy", 0.5, 0.45, PASSED),
        ("log_loss", 0.40, 0.44, PASSED),
        ("log_loss", 0.40, 0.46, PASSED),
        ("log_loss", 0.40, 0.49, FAILED),
        ("log_loss", 0.40, 0.10, PASSED),
        ("rmse", 3.0, 3.1, FAILED),
        ("brier", 0.1, 0.05, PASSED),
    ],
)
def test_one_window_suffices_when_the_metric_is_far_beyond_its_bound_in_its_direction(
    metric, baseline, observed, outcome
):
    found = judged(seen(observed), metric, baseline)
    verdict = found.verdict
    assert (verdict.kind, verdict.outcome, verdict.observed, verdict.n) == (
        DriftKind.PERFORMANCE,
        outcome,
        observed,
        900,
    )
    assert f"{metric} {observed:.4f} (95 % interval {verdict.low:.4f} to {verdict.high:.4f}) on 900" in verdict.reason
    assert f"its bound {verdict.bound:.4f} (baseline {baseline:.4f}" in verdict.reason
    assert verdict.low < observed < verdict.high
    assert found.tests[0].alarms is (outcome is FAILED)


def test_several_windows_that_are_a_little_worse_are_a_drop_together():
    states, reasons, found = {}, [], None
    while found is None or found.verdict.outcome is PASSED:
        found = judged(seen(0.685), states=states)
        states = found.states
        reasons.append(found.verdict.reason)
    assert 3 <= len(reasons) <= 6
    assert "is below its bound 0.7000" in reasons[0]
    assert "not shown to be worse, by evidence" in reasons[0] and "of 20 from this window" in reasons[0]
    assert f"worse, by evidence {states[DROP].value:.3g} of 20 from {len(reasons)} windows" in reasons[-1]
    assert found.restarted == {}


@pytest.mark.parametrize(
    ("drop", "metric", "baseline", "bound", "words"),
    [
        (RelativeDrop(relative=0.05), "mae", 55.0, 57.75, "may be worse by 5 % of the baseline"),
        (RelativeDrop(relative=0.05), "roc_auc", 0.8, 0.76, "(baseline 0.8000, may be worse by 5 % of the baseline,"),
        (RelativeDrop(relative=0.125), "accuracy", 0.8, 0.7, "may be worse by 12.5 % of the baseline"),
        (AbsoluteDrop(absolute=3), "mae", 55.0, 58.0, "(baseline 55.0000, may be worse by 3,"),
        (3, "mae", 55.0, 58.0, "(baseline 55.0000, may be worse by 3,"),
        (0.05, "log_loss", 0.4, 0.45, "may be worse by 0.05"),
        (RelativeDrop(relative=0.05), "rmse", 0.0, 0.0, "may be worse by 5 % of the baseline"),
    ],
)
@pytest.mark.parametrize("beyond", [-1e-6, 1e-6])
def test_the_metric_may_be_worse_by_a_share_of_the_baseline_or_by_a_number(
    drop, metric, baseline, bound, words, beyond
):
    sign = 1 if METRICS[metric].greater_is_better else -1
    verdict = judged(seen(bound - sign * beyond, se=1e-7), metric, baseline, drop).verdict
    assert verdict.bound == pytest.approx(bound)
    assert verdict.outcome is (FAILED if beyond > 0 else PASSED)
    assert words in verdict.reason


def test_the_uncertainty_of_the_baseline_is_allowed_for_and_said():
    exact, uncertain = (judged(seen(0.665), of_baseline=of) for of in (None, Uncertainty(0.02, 20_000, "rows")))
    assert (exact.verdict.outcome, uncertain.verdict.outcome) == (FAILED, PASSED)
    assert exact.verdict.bound == uncertain.verdict.bound == pytest.approx(0.7)
    assert "the baseline is taken as exact" in exact.verdict.reason
    assert "by 0.0168 more, as the baseline has a standard error of 0.0200" in uncertain.verdict.reason
    assert uncertain.tests[0].needed == pytest.approx(20 / 0.8)


def test_the_evidence_that_is_needed_is_the_budget_and_is_shared():
    [one] = judged(seen(0.8), budget=Budget(false_alarms=2, per_windows=30)).tests
    assert one.needed == 15
    limits = [drop_limit("mae", 1.0, 0.1), *alert_limits({"mape": 0.2, "directional_accuracy": 0.55})]
    windows = [seen(1.05, classes=None), seen(0.6), seen(0.15, classes=None)]
    found = judge_performance(list(zip(limits, windows, strict=True)), {}, Budget())
    assert [(test.test, test.needed) for test in found.tests] == [
        ("metric_drop", 60),
        ("alert directional_accuracy", 60),
        ("alert mape", 60),
    ]
    assert found.verdict.outcome is PASSED
    assert found.states.keys() == {test.test for test in found.tests}


def test_an_alert_is_a_drift_of_the_performance_with_its_metric_and_keeps_the_other_evidence():
    limits = [drop_limit("mae", 1.0, 0.1), *alert_limits({"mape": 0.2, "directional_accuracy": 0.55})]
    windows = [seen(1.0, classes=None), seen(0.45), seen(0.21, classes=None)]
    found = judge_performance(list(zip(limits, windows, strict=True)), {}, Budget())
    assert (found.verdict.outcome, found.metric, found.verdict.observed) == (FAILED, "directional_accuracy", 0.45)
    assert found.verdict.reason.startswith("directional_accuracy 0.4500")
    assert "is below its bound 0.5500 (worst acceptable value): worse, by evidence" in found.verdict.reason
    assert "mape 0.2100" in found.verdict.reason and "mae 1.0000" in found.verdict.reason
    assert found.restarted.keys() == {"metric_drop", "alert mape"}


def test_a_window_without_a_value_keeps_the_evidence_and_is_inconclusive():
    states = {DROP: Evidence(bound=0.7, windows=3, log_e=(1.0, 1.0, 0.5, 0.0, -3.0))}
    found = judged(Labelled(2000, 199, 2, 0.1), states=states)
    assert (found.verdict.outcome, found.states) == (INCONCLUSIVE, states)
    limits = [drop_limit("mae", None, 0.1), *alert_limits({"mape": 0.2})]
    both = judge_performance([(limit, seen(0.1, classes=None)) for limit in limits], {}, Budget())
    assert both.verdict.outcome is INCONCLUSIVE
    assert both.verdict.reason.startswith("no baseline") and "mape 0.1000" in both.verdict.reason


@pytest.mark.parametrize(
    ("window", "metric", "baseline", "words"),
    [
        (seen(0.1, n=199), "roc_auc", 0.75, "not enough labelled rows: 199 of 1000, at least 200"),
        (Labelled(2000, 0, 0, None), "roc_auc", 0.75, "not enough labelled rows: 0 of 2000"),
        (
            Labelled(2000, 0, 0, None, "2000 labels could not be read"),
            "roc_auc",
            0.75,
            "0 of 2000, at least 200; 2000 l",
        ),
        (Labelled(2000, 900, 1, None), "roc_auc", 0.75, "only one class among 900 labelled rows"),
        (seen(0.1), "roc_auc", None, "no baseline"),
        (seen(0.1), "roc_auc", float("nan"), "no baseline"),
        (seen(0.1), None, 0.75, "no metric"),
        (seen(0.1), "gini", 0.75, "unknown metric 'gini'"),
        (Labelled(2000, 900, 2, None, "no scores"), "roc_auc", 0.75, "could not be computed: no scores"),
        (seen(float("nan")), "roc_auc", 0.75, "could not be computed"),
        (Labelled(2000, 900, 2, 0.7), "roc_auc", 0.75, "roc_auc 0.7000 has no standard error on 900 labelled rows"),
        (seen(0.7, se=float("nan")), "roc_auc", 0.75, "has no standard error"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive_and_says_why(window, metric, baseline, words):
    verdict = judged(window, metric, baseline).verdict
    assert verdict.outcome is INCONCLUSIVE
    assert words in verdict.reason


def test_one_class_is_no_matter_where_there_are_no_classes():
    assert judged(seen(1.0, classes=None), "mae", 1.0).verdict.outcome is PASSED


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_an_interval_of_a_share_stays_between_0_and_1(metric):
    verdict = judged(seen(0.999, se=0.01), metric).verdict
    assert (verdict.low > 0.97, verdict.high) == (True, 1.0)
