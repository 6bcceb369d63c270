"""The decisions of drift, as tables of cases."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import DriftKind, FeatureScore, Outcome
from contracts.drift_settings import AbsoluteDrop, RelativeDrop
from contracts.metrics import METRICS
from drift.policy.performance import Labelled, judge_performance
from drift.policy.windows import (
    MINIMUM_ROWS,
    Announce,
    Hold,
    Standing,
    Verdict,
    announcement,
    drift_share,
    judge_data,
    refusal,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


def scores(drifted: int, features: int) -> list[FeatureScore]:
    return [
        FeatureScore(
            feature=f"f{index}",
            method="wasserstein",
            score=0.3 if index < drifted else 0.01,
            limit=0.1,
            drifted=index < drifted,
        )
        for index in range(features)
    ]


@pytest.mark.parametrize(
    ("rows", "drifted", "features", "limit", "outcome", "words"),
    [
        (199, 4, 4, 0.5, INCONCLUSIVE, "not enough rows: 199 of at least 200"),
        (0, 0, 4, 0.5, INCONCLUSIVE, "not enough rows: 0"),
        (200, 0, 4, 0.5, PASSED, "0 of 4 features drifted (0%; limit 50%)"),
        (200, 1, 4, 0.5, PASSED, "1 of 4 features drifted (25%; limit 50%): f0 (wasserstein 0.300 > 0.1)"),
        (200, 2, 4, 0.5, FAILED, "2 of 4 features drifted (50%; limit 50%)"),
        (200, 4, 4, 1.0, FAILED, "4 of 4"),
        (200, 3, 4, 1.0, PASSED, "3 of 4"),
        (200, 1, 50, 0.02, FAILED, "1 of 50"),
        (200, 7, 8, 0.5, FAILED, "and 2 more"),
        (2000, 0, 0, 0.5, INCONCLUSIVE, "nothing to compare"),
    ],
)
def test_data_drifts_when_the_share_of_drifted_features_reaches_the_limit(
    rows, drifted, features, limit, outcome, words
):
    verdict = judge_data(rows, scores(drifted, features), limit)
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert (verdict.kind, verdict.n, verdict.bound) == (DriftKind.DATA, rows, limit)


def test_a_feature_with_two_scores_counts_once():
    two = [
        *scores(1, 2),
        FeatureScore(feature="f0", method="missing share", score=0.6, limit=0.1, drifted=True),
    ]
    assert drift_share(two) == 0.5
    assert drift_share([]) is None


def test_the_feature_furthest_over_its_limit_is_named_first():
    more = FeatureScore(feature="missing", method="missing share", score=0.9, limit=0.1, drifted=True)
    assert judge_data(500, [*scores(1, 1), more], 0.5).reason.index("missing (") < judge_data(
        500, [*scores(1, 1), more], 0.5
    ).reason.index("f0 (")


@pytest.mark.parametrize(
    ("metric", "baseline", "observed", "outcome"),
    [
        ("roc_auc", 0.75, 0.71, PASSED),
        ("roc_auc", 0.75, 0.69, FAILED),
        ("roc_auc", 0.75, 0.90, PASSED),
        ("accuracy", 0.5, 0.45, PASSED),  # exactly the bound is not worse than the bound
        ("log_loss", 0.40, 0.44, PASSED),
        ("log_loss", 0.40, 0.46, FAILED),
        ("log_loss", 0.40, 0.10, PASSED),
        ("rmse", 3.0, 3.1, FAILED),
        ("brier", 0.1, 0.05, PASSED),
    ],
)
def test_performance_drifts_when_the_metric_is_worse_than_its_bound_in_its_direction(
    metric, baseline, observed, outcome
):
    verdict = judge_performance(Labelled(1000, 900, 2, observed), metric, baseline, 0.05)
    assert (verdict.outcome, verdict.observed, verdict.n) == (outcome, observed, 900)
    assert f"{observed:.4f}" in verdict.reason
    assert f"{verdict.bound:.4f}" in verdict.reason


@pytest.mark.parametrize(
    ("drop", "metric", "baseline", "bound", "words"),
    [
        (RelativeDrop(relative=0.05), "mae", 55.0, 57.75, "may be worse by 5 % of the baseline"),
        (RelativeDrop(relative=0.05), "roc_auc", 0.8, 0.76, "(baseline 0.8000, may be worse by 5 % of the baseline)"),
        (RelativeDrop(relative=0.125), "accuracy", 0.8, 0.7, "may be worse by 12.5 % of the baseline"),
        (AbsoluteDrop(absolute=3), "mae", 55.0, 58.0, "(baseline 55.0000, may be worse by 3)"),
        (3, "mae", 55.0, 58.0, "(baseline 55.0000, may be worse by 3)"),
        (0.05, "log_loss", 0.4, 0.45, "may be worse by 0.05"),
        (RelativeDrop(relative=0.05), "rmse", 0.0, 0.0, "may be worse by 5 % of the baseline"),
    ],
)
@pytest.mark.parametrize("beyond", [-1e-6, 1e-6])
def test_the_metric_may_be_worse_by_a_share_of_the_baseline_or_by_a_number(
    drop, metric, baseline, bound, words, beyond
):
    sign = 1 if METRICS[metric].greater_is_better else -1
    verdict = judge_performance(Labelled(500, 500, 2, bound - sign * beyond), metric, baseline, drop)
    assert verdict.bound == pytest.approx(bound)
    assert verdict.outcome is (FAILED if beyond > 0 else PASSED)
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("window", "metric", "baseline", "words"),
    [
        (Labelled(2000, 199, 2, 0.1), "roc_auc", 0.75, "not enough labelled rows: 199 of 2000, at least 200"),
        (Labelled(2000, 0, 0, None), "roc_auc", 0.75, "not enough labelled rows: 0 of 2000"),
        (
            Labelled(2000, 0, 0, None, "2000 labels could not be read"),
            "roc_auc",
            0.75,
            "0 of 2000, at least 200; 2000 l",
        ),
        (Labelled(2000, 900, 1, None), "roc_auc", 0.75, "only one class among 900 labelled rows"),
        (Labelled(2000, 900, 2, 0.1), "roc_auc", None, "no baseline"),
        (Labelled(2000, 900, 2, 0.1), "roc_auc", float("nan"), "no baseline"),
        (Labelled(2000, 900, 2, 0.1), None, 0.75, "no metric"),
        (Labelled(2000, 900, 2, 0.1), "gini", 0.75, "unknown metric 'gini'"),
        (Labelled(2000, 900, 2, None, "no scores"), "roc_auc", 0.75, "could not be computed: no scores"),
        (Labelled(2000, 900, 2, float("nan")), "roc_auc", 0.75, "could not be computed"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive_and_says_why(window, metric, baseline, words):
    verdict = judge_performance(window, metric, baseline, 0.05)
    assert verdict.outcome is INCONCLUSIVE
    assert words in verdict.reason


def test_one_class_is_no_matter_where_there_are_no_classes():
    assert judge_performance(Labelled(500, 500, None, 1.0), "mae", 1.0, 0.05).outcome is PASSED


def drifted(kind: DriftKind = DriftKind.DATA) -> Verdict:
    return Verdict(kind, FAILED, "drifted", 2000)


@pytest.mark.parametrize(
    ("verdict", "standing", "expected"),
    [
        (drifted(), Standing(True, 1, False, None), Announce),
        (drifted(), Standing(True, 1, False, NOW - HOUR), Announce),
        (drifted(), Standing(True, 1, False, NOW - HOUR + timedelta(seconds=1)), "cooling down until 2026-03-01T12:00"),
        (drifted(DriftKind.PERFORMANCE), Standing(True, 1, False, NOW), "cooling down"),
        (drifted(), Standing(False, 2, False, None), "no longer the champion (version 2 is)"),
        (drifted(), Standing(True, 1, True, None), None),
        (Verdict(DriftKind.DATA, PASSED, "fine", 2000), Standing(True, 1, False, None), None),
        (Verdict(DriftKind.DATA, INCONCLUSIVE, "?", 2000), Standing(True, 1, False, None), None),
    ],
)
def test_drift_is_announced_once_by_the_champion_and_not_within_the_cooldown(verdict, standing, expected):
    answer = announcement(verdict, standing, HOUR, NOW)
    if expected is None:
        assert answer is None
    elif expected is Announce:
        assert answer == Announce()
    else:
        assert isinstance(answer, Hold)
        assert expected in answer.reason


def test_a_window_under_the_minimum_is_refused_with_both_numbers():
    assert refusal(MINIMUM_ROWS) is None
    assert refusal(12) == "not enough rows: 12 of at least 200"
