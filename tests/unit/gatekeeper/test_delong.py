"""DeLong's fast algorithm against the definition, a published value, and resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gatekeeper.policy.statistics.delong import delong, midranks


def by_definition(truth, *scores):
    """DeLong, DeLong and Clarke-Pearson (1988), written down literally: O(mn) comparisons a model."""
    x = [np.asarray(score)[truth == 1] for score in scores]
    y = [np.asarray(score)[truth == 0] for score in scores]
    psi = [(a[:, None] > b[None, :]) + 0.5 * (a[:, None] == b[None, :]) for a, b in zip(x, y, strict=True)]
    v10, v01 = [p.mean(axis=1) for p in psi], [p.mean(axis=0) for p in psi]
    m, n = len(x[0]), len(y[0])
    s10 = np.array([[((a - a.mean()) * (b - b.mean())).sum() / (m - 1) for b in v10] for a in v10])
    s01 = np.array([[((a - a.mean()) * (b - b.mean())).sum() / (n - 1) for b in v01] for a in v01])
    return np.array([p.mean() for p in psi]), s10 / m + s01 / n


@st.composite
def labelled_scores(draw):
    positives, negatives = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    truth = np.array([1] * positives + [0] * negatives)
    score = st.lists(st.integers(0, 6).map(float), min_size=len(truth), max_size=len(truth))
    return truth, np.array(draw(score)), np.array(draw(score))


@given(labelled_scores())
@settings(max_examples=200, deadline=None)
def test_it_is_the_definition_with_any_ties(case):
    truth, first, second = case
    aucs, covariance = delong(truth, first, second)
    expected, expected_covariance = by_definition(truth, first, second)
    assert aucs == pytest.approx(expected)
    assert covariance == pytest.approx(expected_covariance, abs=1e-12)


def test_the_area_is_the_one_of_scikit_learn():
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 500)
    score = np.round(truth * 0.5 + random.normal(size=500), 1)
    assert delong(truth, score)[0][0] == pytest.approx(roc_auc_score(truth, score))


def test_the_order_of_rows_does_not_matter():
    random = np.random.default_rng(2)
    truth, first, second = random.integers(0, 2, 200), random.normal(size=200), random.normal(size=200)
    shuffled = random.permutation(200)
    for a, b in zip(
        delong(truth, first, second), delong(truth[shuffled], first[shuffled], second[shuffled]), strict=True
    ):
        assert a == pytest.approx(b)


def test_the_standard_error_of_a_difference_agrees_with_a_bootstrap():
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 400)
    common = random.normal(size=400)
    first = truth + common + 0.5 * random.normal(size=400)
    second = 0.7 * truth + common + 0.5 * random.normal(size=400)
    _, c = delong(truth, first, second)
    differences = []
    for _ in range(1500):
        rows = random.integers(0, 400, 400)
        aucs, _ = delong(truth[rows], first[rows], second[rows])
        differences.append(aucs[0] - aucs[1])
    assert np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]) == pytest.approx(np.std(differences), rel=0.1)


def test_its_bound_holds_as_often_as_it_says():
    """Two equally good models: the 95 % lower bound of the difference is above zero in one case of twenty."""
    random = np.random.default_rng(4)
    above, trials = 0, 1500
    for _ in range(trials):
        truth = (np.arange(300) < 100).astype(int)
        signal = truth + random.normal(size=300)
        first, second = signal + 0.7 * random.normal(size=300), signal + 0.7 * random.normal(size=300)
        aucs, c = delong(truth, first, second)
        above += aucs[0] - aucs[1] > 1.6449 * np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    assert above / trials == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / trials))


def test_equal_scores_differ_by_nothing():
    truth, score = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.3, 0.4, 0.4, 0.9])
    aucs, c = delong(truth, score, score)
    assert aucs[0] == aucs[1]
    assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(0, abs=1e-15)


def test_midranks_share_the_mean():
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


@pytest.mark.parametrize("truth", [[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
def test_one_row_of_a_class_has_no_variance(truth):
    with pytest.raises(ValueError, match="two rows of either class"):
        delong(np.array(truth), np.arange(4.0))
