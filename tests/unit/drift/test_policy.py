"""The decisions of drift, as tables of cases."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import DriftKind, FeatureScore, Outcome
from contracts.drift_settings import After, Budget
from drift.policy.windows import (
    MINIMUM_ROWS,
    Announce,
    Hold,
    Standing,
    Verdict,
    announcement,
    drift_share,
    judge_data,
    judge_limits,
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


@pytest.mark.parametrize(
    ("rows", "drifted", "features", "outcome", "words"),
    [
        (199, 4, 4, INCONCLUSIVE, "not enough rows: 199 of at least 200"),
        (200, 0, 4, PASSED, "none of 4 features drifted; limits from 40 past windows, for 1 false alarm in 20 windows"),
        (200, 1, 20, FAILED, "1 of 20 features drifted: f0 (wasserstein 0.300 > 0.1); limits from 40 past windows"),
        (200, 7, 8, FAILED, "and 2 more"),
        (2000, 0, 0, INCONCLUSIVE, "nothing to compare"),
    ],
)
def test_by_a_budget_any_feature_beyond_its_limit_is_drift(rows, drifted, features, outcome, words):
    budget, basis = Budget().in_words, "limits from 40 past windows"
    verdict = judge_limits(rows, scores(drifted, features), budget, basis)
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert (verdict.kind, verdict.n) == (DriftKind.DATA, rows)


@pytest.mark.parametrize(
    ("after", "recent", "held"),
    [
        (After(1, 1), (FAILED,), None),
        (After(2, 3), (FAILED,), "not announced: seen in 1 of the last 3 windows, announced from 2"),
        (After(2, 3), (PASSED, PASSED, FAILED), "seen in 1 of the last 3 windows"),
        (After(2, 3), (FAILED, PASSED, FAILED), None),
        (After(2, 3), (FAILED, FAILED), None),
        (After(2, 3), (FAILED, PASSED, PASSED, FAILED), "seen in 1 of the last 3 windows"),
        (After(2, 2), (FAILED, PASSED, FAILED), "seen in 1 of the last 2 windows, announced from 2"),
        (After(3, 3), (FAILED, FAILED, FAILED), None),
    ],
)
def test_drift_is_announced_when_enough_of_the_newest_windows_have_it(after, recent, held):
    drift = Verdict(DriftKind.DATA, FAILED, "", 2000)
    found = announcement(drift, Standing(True, 1, False, None, recent), HOUR, NOW, after)
    assert found == Announce() if held is None else held in found.reason
    passed = Verdict(DriftKind.DATA, PASSED, "", 2000)
    assert announcement(passed, Standing(True, 1, False, None, (FAILED, FAILED, PASSED)), HOUR, NOW, after) is None


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


def drifted(kind: DriftKind = DriftKind.DATA) -> Verdict:
    return Verdict(kind, FAILED, "drifted", 2000)


@pytest.mark.parametrize(
    ("verdict", "standing", "expected"),
    [
        (drifted(), Standing(True, 1, False, None), Announce),
        (drifted(), Standing(True, 1, False, NOW - HOUR), Announce),
        (drifted(), Standing(True, 1, False, NOW - HOUR + timedelta(seconds=1)), "cooling down until 2026-03-01T12:00"),
        (
            drifted(),
            Standing(True, 1, False, NOW - HOUR + timedelta(milliseconds=1)),
            "cooling down until 2026-03-01T12:00:01",
        ),
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
