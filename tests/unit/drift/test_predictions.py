"""The distribution of predictions: distances against SciPy and scores.py, limits and verdicts by tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contracts import Outcome
from drift.policy.predictions import (
    IID,
    WINDOWS,
    Distribution,
    Limit,
    distance,
    judge_prediction,
    limit_of,
)
from drift.scoring.estimators import row_splits
from drift.scoring.scores import compare

RANDOM = np.random.default_rng(5)


def test_distances_are_those_of_the_columns() -> None:
    numbers, others = RANDOM.beta(2, 3, 500), RANDOM.beta(3, 2, 400)
    names, other_names = RANDOM.choice(["a", "b", "c"], 500), RANDOM.choice(["a", "b"], 400)
    before, now = pd.DataFrame({"n": numbers, "c": names}), pd.DataFrame({"n": others, "c": other_names})
    known = {score.feature: score.score for score in compare(before, now).scores}
    assert distance(Distribution(numbers), Distribution(others)) == pytest.approx(known["n"])
    counts, other_counts = (
        dict(zip(*np.unique(each, return_counts=True), strict=True)) for each in (names, other_names)
    )
    found = distance(Distribution(classes=counts), Distribution(classes=other_counts))
    assert found == pytest.approx(known["c"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Distribution(np.array([0.5])), Distribution(classes={"a": 1.0})),
        (Distribution(np.array([])), Distribution(np.array([0.5]))),
        (Distribution(classes={}), Distribution(classes={"a": 1.0})),
    ],
)
def test_what_cannot_be_compared_has_no_distance(one: Distribution, other: Distribution) -> None:
    assert distance(one, other) is None


@pytest.mark.parametrize(
    ("splits", "past", "assumption", "limit"),
    [
        (400, 0, IID, 0.384),
        (400, 4, IID, 0.384),  # too few to count
        (400, 5, IID, 0.6),  # they widen it
        (400, 19, WINDOWS, 1.0),
        (0, 19, WINDOWS, 1.0),
        (0, 5, None, None),
        (0, 0, None, None),
    ],
)
def test_a_limit_is_exceeded_by_the_share_of_windows_that_the_budget_allows(
    splits: int, past: int, assumption: str | None, limit: float | None
) -> None:
    distances = 0.5 + 0.5 * np.linspace(-1, 1, past)
    found = limit_of(np.linspace(0.004, 0.4, splits), distances, 0.05)
    if limit is None:
        assert found is None
    else:
        assert found is not None and found.assumption == assumption
        assert found.limit >= limit * 0.98 and found.expected < found.limit


def test_a_limit_does_not_follow_slow_drift() -> None:
    past = np.concatenate([np.linspace(0.1, 0.2, 40), np.linspace(0.2, 5.0, 160)])
    first, later = limit_of(np.array([]), past[:40], 0.05), limit_of(np.array([]), past, 0.05)
    assert first is not None and later == first


def test_row_splits_are_the_same_each_time_and_smaller_for_larger_windows() -> None:
    reference = Distribution(numbers := RANDOM.beta(2, 3, 2000))
    small, large = row_splits(reference, 200, 400), row_splits(reference, 2000, 400)
    assert (row_splits(reference, 200, 400) == small).all() and np.median(large) < np.median(small) / 2
    drawn = [distance(reference, Distribution(RANDOM.choice(numbers, 200))) or 0.0 for _ in range(200)]
    assert np.median(small) == pytest.approx(np.median(drawn), rel=0.15), "as SciPy's distance of drawn rows"
    classes = row_splits(Distribution(classes={"a": 900.0, "b": 100.0}), 500, 400)
    assert len(classes) == len(small) and 0 < np.median(classes) < 0.1


def test_windows_of_the_same_distribution_seldom_drift_and_of_another_do() -> None:
    reference = Distribution(RANDOM.beta(2, 3, 20_000))
    limit = limit_of(row_splits(reference, 1000, 400), np.array([]), 0.05)
    assert limit is not None
    null = [distance(reference, Distribution(RANDOM.beta(2, 3, 1000))) or 0.0 for _ in range(200)]
    assert sum(each >= limit.limit for each in null) <= 25
    moved = distance(reference, Distribution(RANDOM.beta(3, 3, 1000)))
    assert moved is not None and moved > 2 * limit.limit


@pytest.mark.parametrize(
    ("found", "limit", "outcome", "why"),
    [
        (0.2, Limit(0.1, 0.03, IID), Outcome.FAILED, "by 0.200, which reaches its limit 0.100 (from row splits"),
        (0.05, Limit(0.1, 0.03, WINDOWS), Outcome.PASSED, "is below its limit 0.100 (from past windows"),
        (0.2, None, Outcome.INCONCLUSIVE, "cannot be compared with those of the golden rows"),
        (None, None, Outcome.INCONCLUSIVE, "cannot be compared"),
    ],
)
def test_the_verdict(found: float | None, limit: Limit | None, outcome: Outcome, why: str) -> None:
    verdict = judge_prediction(2000, found, limit, "scores", "those of the golden rows")
    assert (verdict.kind, verdict.outcome) == ("prediction", outcome) and why in verdict.reason
