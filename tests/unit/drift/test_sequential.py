"""The sequential test: its arithmetic, its false alarms and its delay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from drift.policy.sequential import (
    BETS,
    LARGEST_Z,
    Evidence,
    advanced,
    interval,
    limit_of_baseline,
    needed,
    z_value,
)


def test_evidence_is_the_sum_over_all_beginnings_of_the_product_of_bets():
    z = [0.3, -1.2, 2.5, 1.1]
    state: Evidence | None = None
    for each in z:
        state = advanced(state, 0.7, each)
    factors = [[math.exp(bet * each - bet * bet / 2) for each in z] for bet in BETS]
    expected = np.mean([sum(math.prod(of_bet[start:]) for start in range(len(z))) for of_bet in factors])
    assert state.value == pytest.approx(float(expected))
    assert state.windows == 4
    assert Evidence.model_validate_json(state.model_dump_json()) == state


def test_another_bound_begins_another_test():
    state = advanced(advanced(None, 0.7, 5.0), 0.7, 5.0)
    assert advanced(state, 0.7 + 1e-13, 1.0).windows == 3
    assert advanced(state, 0.71, 1.0) == advanced(None, 0.71, 1.0)


@pytest.mark.parametrize(
    ("worse_by", "se", "units", "expected"),
    [
        (0.0, 0.0, 100, 0.0),
        (0.1, 0.0, 100, LARGEST_Z),
        (-0.1, 0.0, 100, -LARGEST_Z),
        (0.03, 0.01, 10**9, 3.0),
        (-0.03, 0.01, 10**9, -3.0),
        (0.03, 0.01, 10, -norm.ppf(t.sf(3.0, 9))),
        (1e9, 1e-9, 40, LARGEST_Z),
    ],
)
def test_a_z_value_has_the_probability_of_students_t(worse_by, se, units, expected):
    assert z_value(worse_by, se, units) == pytest.approx(expected, abs=1e-6)


def test_evidence_stays_a_number_however_long_and_however_bad():
    state = None
    for z in [-LARGEST_Z] * 500 + [LARGEST_Z] * 500:
        state = advanced(state, 0.0, z)
        assert math.isfinite(state.value)
    Evidence.model_validate_json(state.model_dump_json())


def test_tests_that_share_a_budget_each_need_their_part():
    assert needed(20.0, 1, uncertain_baseline=False) == 20.0
    assert needed(20.0, 3, uncertain_baseline=False) == 60.0
    assert needed(20.0, 1, uncertain_baseline=True) == pytest.approx(25.0)


def test_an_interval_holds_the_true_value_as_often_as_it_says():
    rng = np.random.default_rng(1)
    samples = rng.normal(3.0, 1.0, (4000, 12))
    held = 0
    for sample in samples:
        low, high = interval(sample.mean(), sample.std(ddof=1) / 12**0.5, 12)
        held += low <= 3.0 <= high
    assert held / 4000 == pytest.approx(0.95, abs=0.012)


def first_alarms(z: np.ndarray, threshold: float) -> np.ndarray:
    """Of each run (row), the number of windows until the first alarm; inf without one."""
    found = np.full(len(z), np.inf)
    for run, values in enumerate(z):
        state = None
        for number, each in enumerate(values, 1):
            state = advanced(state, 0.0, each)
            if state.value >= threshold:
                found[run] = number
                break
    return found


def test_at_the_bound_false_alarms_keep_the_budget_and_below_it_they_are_rare():
    """The number of alarms in n windows, starting again after each, is at most n / 20 on average."""
    rng = np.random.default_rng(2)
    runs, windows = 200, 100

    def alarms(mean: float) -> float:
        count = 0
        for values in rng.normal(mean, 1.0, (runs, windows)):
            state = None
            for each in values:
                state = advanced(state, 0.0, each)
                if state.value >= 20:
                    count, state = count + 1, None
        return count / (runs * windows)

    at_the_bound = alarms(0.0)
    assert at_the_bound <= 1 / 20
    assert at_the_bound > 1 / 200, "it is not idle either"
    assert alarms(-1.0) < 1 / 1000


def test_an_error_of_the_baseline_that_is_in_every_window_keeps_the_budget():
    rng = np.random.default_rng(3)
    se, se_baseline = 1.0, 1.0
    error = rng.normal(0, se_baseline, 400)  # the measured baseline is better than the true one by so much
    z = rng.normal(0, se, (400, 200)) + error[:, None] - limit_of_baseline(se_baseline, 10**6)
    alarms = first_alarms(z, needed(20, 1, uncertain_baseline=True))
    assert np.mean(np.minimum(alarms, 200)) > 20
    ignored = first_alarms(rng.normal(0, se, (400, 200)) + error[:, None], 20)
    assert np.mean(np.minimum(ignored, 200)) < np.mean(np.minimum(alarms, 200))


@pytest.mark.parametrize(("drop", "within"), [(1.0, 12), (2.0, 4), (4.0, 1.5)])
def test_a_drop_that_begins_late_is_seen_as_quickly_as_one_from_the_start(drop, within):
    rng = np.random.default_rng(4)
    late = np.concatenate([rng.normal(-2.0, 1, (300, 50)), rng.normal(drop, 1, (300, 60))], axis=1)
    delay = first_alarms(late, 20) - 50
    assert (delay > 0).all(), "no false alarm before it"
    assert np.mean(delay) <= within
