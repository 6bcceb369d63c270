"""Many challengers and many slices: alpha spending, and Holm against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from gatekeeper.policy.statistics.alpha_spending import spent
from gatekeeper.policy.statistics.estimates import Predictions, difference, p_value
from gatekeeper.policy.statistics.holm import adjusted, holm

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=12)


def test_what_all_challengers_spend_adds_up_to_alpha():
    assert spent(0.05, 1) == pytest.approx(0.05 * 6 / math.pi**2)
    assert math.fsum(spent(0.05, k) for k in range(1, 200_000)) == pytest.approx(0.05, rel=1e-5)
    assert all(spent(0.05, k) > spent(0.05, k + 1) for k in range(1, 50))


@pytest.mark.parametrize("k", [0, -3])
def test_challengers_are_counted_from_one(k):
    with pytest.raises(ValueError, match="counted from 1"):
        spent(0.05, k)


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.1]))
@settings(max_examples=40, deadline=None)
def test_holm_is_that_of_statsmodels(p_values, alpha):
    rejected, corrected, *_ = multipletests(p_values, alpha=alpha, method="holm")
    assert adjusted(p_values) == pytest.approx(corrected.tolist())
    if np.abs(corrected - alpha).min() > 1e-9:
        assert holm(p_values, alpha) == rejected.tolist()


def test_no_tests_reject_nothing_and_what_is_no_probability_is_refused():
    assert holm([], 0.05) == []
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="not p-values"):
            holm([0.1, wrong], 0.05)


def test_holm_rejects_by_mistake_as_rarely_as_alpha_says():
    random = np.random.default_rng(41)
    trials = 4000
    wrong = sum(any(holm(random.random(6), 0.05)) for _ in range(trials))
    assert wrong / trials == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / trials))


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "brier"])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_a_p_value_is_below_alpha_exactly_when_the_upper_bound_excludes(metric, alpha):
    random = np.random.default_rng(42)
    truth = random.integers(0, 2, 300)
    good, poor = (np.clip(0.5 + gain * (truth - 0.5) + 0.2 * random.normal(size=300), 0, 1) for gain in (0.3, 0.2))
    worse, better = (Predictions((scores >= 0.5).astype(int), scores) for scores in (poor, good))
    found = difference(metric, truth, worse, better, alpha)
    for against, rejected in ((found.upper + 1e-6, True), (found.upper - 1e-6, False)):
        assert (p_value(found, against) < alpha) is rejected


def test_a_p_value_of_a_paired_mean_is_the_textbooks():
    random = np.random.default_rng(43)
    truth = random.normal(size=200)
    first, second = truth + 1.1 * random.normal(size=200), truth + random.normal(size=200)
    losses = np.abs(second - truth) - np.abs(first - truth)
    found = difference("mae", truth, Predictions(first), Predictions(second), 0.05)
    z = (losses.mean() + 0.02) / stats.sem(losses)
    assert p_value(found, -0.02) == pytest.approx(stats.norm.cdf(z))


def test_equal_answers_are_not_worse_than_a_margin():
    same = Predictions(np.arange(40.0))
    found = difference("mae", np.arange(40.0) + 1, same, same, 0.05)
    assert (p_value(found, -0.01), p_value(found, 0.0), p_value(found, 0.01)) == (1.0, 1.0, 0.0)
