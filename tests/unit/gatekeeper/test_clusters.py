"""Rows of one entity: standard errors against statsmodels, the definition in the paper, and resampled entities."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from gatekeeper.policy.statistics import clusters
from gatekeeper.policy.statistics.delong import delong
from gatekeeper.policy.statistics.estimates import Predictions, Unmeasurable, difference, estimate
from support.equal_models import answers, binormal

random = np.random.default_rng(31)
N = 600
CODES = random.integers(0, 90, N)
TRUTH, (FIRST, SECOND) = binormal(random, N, 0.8, entities=CODES, positives=0.4)
METRICS = ["roc_auc", "accuracy", "log_loss", "brier", "pr_auc", "f1"]


@pytest.mark.parametrize("metric", METRICS)
def test_entities_of_one_row_each_change_nothing(metric):
    codes = random.permutation(N)
    assert difference(metric, TRUTH, FIRST, SECOND, 0.05, codes) == difference(metric, TRUTH, FIRST, SECOND, 0.05)
    assert estimate(metric, TRUTH, FIRST, 0.05, codes) == estimate(metric, TRUTH, FIRST, 0.05)


@pytest.mark.parametrize("metric", METRICS)
def test_what_entities_are_called_changes_nothing(metric):
    renamed = difference(metric, TRUTH, FIRST, SECOND, 0.05, CODES * 1000 + 7)
    assert renamed == difference(metric, TRUTH, FIRST, SECOND, 0.05, CODES)
    assert renamed.entities == len(np.unique(CODES))


def test_rows_of_an_unknown_entity_stand_alone():
    assert clusters.codes_of(np.full(5, -1), 5) is None
    assert clusters.codes_of(np.array([4, -1, 4, -1]), 4).tolist() == [0, 1, 0, 2]


def test_the_standard_error_of_a_mean_is_the_clustered_one_of_statsmodels():
    losses = (FIRST.scores - TRUTH) ** 2 - (SECOND.scores - TRUTH) ** 2
    options = {"groups": CODES, "use_correction": False}
    fit = sm.OLS(losses, np.ones(N)).fit(cov_type="cluster", cov_kwds=options)
    groups = len(np.unique(CODES))
    found = difference("brier", TRUTH, FIRST, SECOND, 0.05, CODES)
    assert found.se == pytest.approx(fit.bse[0] * np.sqrt(groups / (groups - 1)))


def by_definition(truth, codes, *scores):
    """Obuchowski (1997), written down literally: O(mn) comparisons a model, entity by entity."""
    x, y = truth == 1, truth == 0
    m, n, groups = x.sum(), y.sum(), np.unique(codes)
    sums10, sums01, aucs = [], [], []
    for score in scores:
        psi = (score[x][:, None] > score[y][None, :]) + 0.5 * (score[x][:, None] == score[y][None, :])
        aucs.append(psi.mean())
        v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
        sums10.append(np.array([(v10[codes[x] == g] - aucs[-1]).sum() for g in groups]))
        sums01.append(np.array([(v01[codes[y] == g] - aucs[-1]).sum() for g in groups]))
    i, i10, i01 = len(groups), len(np.unique(codes[x])), len(np.unique(codes[y]))
    covariance = np.empty((len(scores), len(scores)))
    for r in range(len(scores)):
        for s in range(len(scores)):
            s10 = i10 / ((i10 - 1) * m) * (sums10[r] * sums10[s]).sum()
            s01 = i01 / ((i01 - 1) * n) * (sums01[r] * sums01[s]).sum()
            s11 = i / (i - 1) * (sums10[r] * sums01[s]).sum()
            back = i / (i - 1) * (sums10[s] * sums01[r]).sum()
            covariance[r, s] = s10 / m + s01 / n + (s11 + back) / (m * n)
    return np.array(aucs), covariance


@st.composite
def clustered_scores(draw):
    n = draw(st.integers(6, 30))
    truth = np.array([1, 0, 1, 0, *draw(st.lists(st.integers(0, 1), min_size=n - 4, max_size=n - 4))])
    codes = np.array([0, 0, 1, 1, *draw(st.lists(st.integers(0, 8), min_size=n - 4, max_size=n - 4))])
    score = st.lists(st.integers(0, 6).map(float), min_size=n, max_size=n)
    return truth, np.unique(codes, return_inverse=True)[1], np.array(draw(score)), np.array(draw(score))


@given(clustered_scores())
@settings(max_examples=150, deadline=None)
def test_the_covariance_of_aucs_is_the_definition(case):
    truth, codes, first, second = case
    aucs, covariance = delong(truth, first, second, codes=codes)
    expected, expected_covariance = by_definition(truth, codes, first, second)
    assert aucs == pytest.approx(expected)
    assert covariance == pytest.approx(expected_covariance, abs=1e-12)


def test_with_one_row_an_entity_it_is_delongs():
    alone, together = delong(TRUTH, FIRST.scores), delong(TRUTH, FIRST.scores, codes=np.arange(N))
    assert together[1] == pytest.approx(alone[1])


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss"])
def test_the_standard_error_agrees_with_resampled_entities(metric):
    found = difference(metric, TRUTH, FIRST, SECOND, 0.05, CODES)
    rows_of = [np.flatnonzero(code == CODES) for code in np.unique(CODES)]
    draws = []
    for _ in range(800):
        rows = np.concatenate([rows_of[place] for place in random.integers(0, len(rows_of), len(rows_of))])
        draws.append(difference(metric, TRUTH[rows], FIRST.only(rows), SECOND.only(rows), 0.05).value)
    assert found.se == pytest.approx(np.std(draws), rel=0.15)


def test_rows_repeated_ten_times_say_no_more_than_once():
    """The commonest way to have 6,000 rows and the evidence of 600."""
    rows = np.repeat(np.arange(N), 10)
    for metric in METRICS:
        once = difference(metric, TRUTH, FIRST, SECOND, 0.05)
        often = difference(metric, TRUTH[rows], FIRST.only(rows), SECOND.only(rows), 0.05, rows)
        naive = difference(metric, TRUTH[rows], FIRST.only(rows), SECOND.only(rows), 0.05)
        assert often.value == pytest.approx(once.value)
        assert (often.lower, often.upper) == pytest.approx((once.lower, once.upper), rel=0.02, abs=5e-4), metric
        assert naive.se < 0.4 * often.se


def test_no_discordant_row_among_few_entities_proves_little():
    rows = np.repeat(np.arange(40), 25)
    truth = np.arange(1000) % 2
    found = difference("accuracy", truth, Predictions(truth), Predictions(truth), 0.05, rows)
    assert found.lower == pytest.approx(-(1.6449**2) / (40 + 1.6449**2), rel=1e-3)
    assert estimate("accuracy", truth, Predictions(truth), 0.05, rows).lower == pytest.approx(
        0.05 ** (1 / 40), rel=1e-3
    )


def test_a_perfect_ranking_of_few_entities_proves_little():
    truth = np.repeat([0, 1], 500)
    codes = np.arange(1000) % 20
    found = estimate("roc_auc", truth, answers(np.linspace(0, 1, 1000)), 0.05, codes)
    assert found.lower == pytest.approx(0.05 ** (1 / 10))  # ten pairs of different entities, one row of each class


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss"])
def test_one_entity_alone_has_no_variance(metric):
    if metric == "accuracy":
        assert difference(metric, TRUTH, FIRST, FIRST, 0.05, np.zeros(N)).lower < -0.5
        return
    with pytest.raises(Unmeasurable, match=r"one entity|two entities"):
        difference(metric, TRUTH, FIRST, SECOND, 0.05, np.zeros(N))


def test_codes_of_another_length_are_a_mistake():
    with pytest.raises(ValueError, match="600 rows have entity codes of shape"):
        estimate("brier", TRUTH, FIRST, 0.05, CODES[:-1])
