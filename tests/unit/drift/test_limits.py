"""Calibrated limits: how often windows without drift exceed them, and what happens with few or odd windows."""

import numpy as np
import pytest

from drift.policy.limits import (
    calibrate,
    calibrate_on_windows,
    fewest_windows,
    ordinary,
    splits_for,
    stage,
    unexpected_rows,
    where_known,
    wider,
    windows_kept,
)

NO_FLOORS = np.full(20, 1e-9)


@pytest.mark.parametrize(
    ("share", "fewest", "splits", "kept"),
    [
        (1 / 20, 19, 400, 40),
        (1 / 10, 9, 400, 40),
        (1 / 2, 1, 400, 40),
        (1 / 100, 99, 400, 198),
        (1 / 1000, 999, 2000, 200),
    ],
)
def test_a_smaller_budget_needs_more_windows(share, fewest, splits, kept):
    assert (fewest_windows(share), splits_for(share), windows_kept(share)) == (fewest, splits, kept)


@pytest.mark.parametrize(
    ("windows", "stage_of"),
    [(0, 0), (4, 0), (5, 5), (9, 5), (10, 10), (18, 10), (19, 19), (39, 19), (40, 40), (900, 40)],
)
def test_limits_change_at_some_numbers_of_past_windows_and_are_kept_between_them(windows, stage_of):
    assert stage(windows, 1 / 20) == stage_of


@pytest.mark.parametrize(("windows", "share"), [(18, 1 / 20), (98, 1 / 100), (0, 1 / 2)])
def test_too_few_windows_are_refused(windows, share):
    with pytest.raises(ValueError, match=f"{windows} windows do not show .* at least {windows + 1}"):
        calibrate(np.zeros((windows, 3)), share, np.zeros(3))


@pytest.mark.parametrize("share", [1 / 20, 1 / 10])
@pytest.mark.parametrize("windows", [19, 40, 400])
def test_a_window_without_drift_exceeds_a_limit_as_often_as_the_budget_says(windows, share):
    """1,000 calibrations, each judged on one new window: the standard error of the share is 0.007 to 0.0095."""
    rng = np.random.default_rng(1)
    scale = rng.uniform(0.1, 10, 20)
    alarms = 0
    for _ in range(1000):
        drawn = scale * rng.gamma(4.0, 1.0, (windows + 1, 20))
        alarms += bool((drawn[-1] >= calibrate(drawn[:-1], share, NO_FLOORS).limit).any())
    assert alarms / 1000 == pytest.approx(share, abs=0.025)


def test_the_factor_is_the_ranked_greatest_deviation_from_the_other_windows():
    rng = np.random.default_rng(2)
    scores = rng.random((25, 3))
    greatest = []
    for left_out in range(25):
        others = np.delete(scores, left_out, axis=0)
        greatest.append(max((scores[left_out] - others.mean(axis=0)) / others.std(axis=0, ddof=1)))
    found = calibrate(scores, 1 / 20, np.zeros(3))
    assert found.factor == pytest.approx(sorted(greatest)[25 - 1])  # the 25th: ceil(0.95 * 26)
    assert found.limit == pytest.approx(scores.mean(axis=0) + found.factor * scores.std(axis=0, ddof=1))
    assert found.expected == pytest.approx(scores.mean(axis=0))


def test_one_incident_among_the_past_windows_does_not_blind_all_limits():
    scores = np.random.default_rng(3).normal(1.0, 0.1, (19, 20))
    scores[4, 0] = 50.0
    assert calibrate(scores, 1 / 20, NO_FLOORS).factor > 100
    assert calibrate_on_windows(scores, 1 / 20, NO_FLOORS).limit[1:].max() < 2.0


@pytest.mark.parametrize(("windows", "incidents"), [(5, 1), (7, 2), (10, 3), (19, 1), (40, 6)])
def test_windows_with_an_incident_are_left_out(windows, incidents):
    scores = np.random.default_rng(7).gamma(4.0, 0.01, (windows, 20))
    scores[-incidents:, 3] = 1.4  # a column of zeros
    found = ordinary(scores, np.full(20, 0.01))
    assert found.tolist() == [True] * (windows - incidents) + [False] * incidents


def test_without_a_majority_no_window_is_an_incident():
    scores = np.random.default_rng(8).gamma(4.0, 0.01, (10, 20))
    scores[:5, 3] = 1.4
    assert ordinary(scores, np.full(20, 0.01)).all()
    assert ordinary(np.full((6, 2), np.nan), np.zeros(2)).all() and not len(ordinary(np.empty((0, 2)), np.zeros(2)))


@pytest.mark.parametrize("windows", [5, 10, 19, 40])
def test_ordinary_days_are_seldom_incidents(windows):
    """Days that differ by five times what independent rows do: of 500 histories, fewer than 1 in 100 lose a window."""
    rng = np.random.default_rng(9)
    lost = sum(not ordinary(rng.gamma(4.0, 0.05, (windows, 20)), np.full(20, 0.02)).all() for _ in range(500))
    assert lost <= 5


def test_equal_scores_have_their_floor_as_limit():
    scores = np.column_stack([np.zeros(40), np.random.default_rng(4).random(40)])
    found = calibrate(scores, 1 / 20, np.array([0.01, 1e-9]))
    assert found.limit[0] == pytest.approx(0.01, rel=1.0)
    assert found.factor < 5


def test_a_signal_that_most_windows_do_not_have_gets_the_limit_of_row_splits():
    scores = np.random.default_rng(5).random((40, 2))
    scores[:30, 1] = np.nan
    floors = np.full(2, 1e-9)
    of_windows, of_splits = (
        calibrate_on_windows(scores, 1 / 20, floors),
        calibrate(np.full((40, 2), 7.0), 1 / 20, floors),
    )
    found = where_known(of_windows, of_splits)
    assert found.limit == pytest.approx([of_windows.limit[0], of_splits.limit[1]])
    assert wider(of_splits, of_windows).limit == pytest.approx([7.0, 7.0])


@pytest.mark.parametrize(
    ("rows", "reference", "share", "found"),
    [
        (2000, 5000, 0.05, 3),
        (2000, 5000, 0.001, 6),
        (200, 5000, 0.001, 3),
        (10_000, 5000, 0.001, 18),
        (200, 0, 0.05, 1),
    ],
)
def test_rows_of_a_kind_that_the_reference_does_not_have_are_few_by_chance(rows, reference, share, found):
    assert unexpected_rows(rows, reference, share) == found
