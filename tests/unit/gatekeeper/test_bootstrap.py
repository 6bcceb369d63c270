"""The paired bootstrap against scikit-learn, SciPy's bootstrap, and the variances that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from gatekeeper.policy.statistics import bootstrap
from gatekeeper.policy.statistics.estimates import Predictions, Unmeasurable, difference, estimate, p_value

random = np.random.default_rng(21)
N = 400
TRUTH = (random.random(N) < 0.3).astype(int)
COMMON = random.normal(size=N)
FIRST, SECOND = (1 / (1 + np.exp(-(TRUTH + COMMON + 0.5 * random.normal(size=N)))) for _ in range(2))
TIED = np.round(FIRST, 1)


def binary(scores):
    return Predictions(labels=(scores >= 0.5).astype(int), scores=scores)


def weights(units=N, draws=50):
    return np.concatenate(list(bootstrap.counts(units, draws, seed=3)))


def test_each_draw_has_as_many_units_as_there_are_and_they_are_equally_likely():
    drawn = np.concatenate(list(bootstrap.counts(50, draws=40_000, seed=1)))
    assert (drawn.sum(axis=1) == 50).all()
    # A unit is drawn k times with probability Poisson-like, binomial(50, 1/50): compare all units together.
    observed = np.bincount(np.minimum(drawn.ravel(), 4), minlength=5)
    expected = stats.binom.pmf(range(4), 50, 1 / 50)
    expected = np.append(expected, 1 - expected.sum()) * drawn.size
    assert stats.chisquare(observed, expected).pvalue > 1e-3
    assert stats.chisquare(drawn.sum(axis=0)).pvalue > 1e-3


def test_the_same_seed_draws_the_same_in_whatever_portions(monkeypatch):
    whole = weights()
    monkeypatch.setattr(bootstrap, "CELLS", 3 * N)
    assert np.array_equal(weights(), whole)
    assert not np.array_equal(np.concatenate(list(bootstrap.counts(N, 50, seed=4))), whole)


@pytest.mark.parametrize("scores", [FIRST, TIED, np.full(N, 0.5)], ids=["distinct", "tied", "constant"])
def test_the_average_precision_of_each_draw_is_that_of_scikit_learn(scores):
    drawn = weights()
    found = bootstrap.average_precision(TRUTH, scores, None)(drawn)
    expected = [average_precision_score(TRUTH, scores, sample_weight=row) for row in drawn]
    assert found == pytest.approx(expected)


def test_the_f1_of_each_draw_is_that_of_scikit_learn():
    drawn, said = weights(), (FIRST > 0.6).astype(int)
    found = bootstrap.f1(TRUTH, said, None, macro=False)(drawn)
    assert found == pytest.approx([f1_score(TRUTH, said, sample_weight=row) for row in drawn])


def test_the_macro_f1_of_each_draw_is_that_of_scikit_learn():
    truth, said = random.integers(0, 4, N), random.integers(0, 4, N)
    drawn = weights()
    found = bootstrap.f1(truth, said, None, macro=True)(drawn)
    assert found == pytest.approx([f1_score(truth, said, sample_weight=row, average="macro") for row in drawn])


CLASSES = random.integers(0, 4, N)


def of_classes(sharpness, digits=8):
    """Scores that add up to one, better the sharper."""
    raw = np.exp(sharpness * np.eye(4)[CLASSES] + random.normal(size=(N, 4)))
    scores = np.round(raw / raw.sum(axis=1, keepdims=True), digits)
    scores[:, 3] = 1 - scores[:, :3].sum(axis=1)
    return Predictions(scores.argmax(axis=1), scores)


@pytest.mark.parametrize("digits", [8, 1], ids=["distinct", "tied"])
def test_the_auc_of_each_draw_over_all_classes_is_that_of_scikit_learn(digits):
    drawn, scores = weights(), of_classes(1, digits).scores
    found = bootstrap.roc_auc_ovr(CLASSES, scores, None)(drawn)
    # scikit-learn takes no weights here for scores of several classes, so the rows are repeated.
    rows = [np.repeat(np.arange(N), row) for row in drawn]
    expected = [roc_auc_score(CLASSES[at], scores[at], multi_class="ovr", average="macro") for at in rows]
    assert found == pytest.approx(expected)
    codes = random.integers(0, 60, N)
    entities = weights(60)
    rows = [np.repeat(np.arange(N), row[codes]) for row in entities]
    expected = [roc_auc_score(CLASSES[at], scores[at], multi_class="ovr", average="macro") for at in rows]
    assert bootstrap.roc_auc_ovr(CLASSES, scores, codes)(entities) == pytest.approx(expected)


def test_models_of_several_classes_are_compared_by_their_auc():
    better, worse = of_classes(1.5), of_classes(0.5)
    found = difference("roc_auc_ovr", CLASSES, better, worse, 0.05)
    assert found.method == "bootstrap" and found.lower > 0
    assert found.first == pytest.approx(roc_auc_score(CLASSES, better.scores, multi_class="ovr", average="macro"))
    same = difference("roc_auc_ovr", CLASSES, better, better, 0.05)
    assert (same.value, same.lower, same.upper) == (0, 0, 0)
    # Rows of ten that are all alike are one row each, and the bounds as wide as of a tenth of them.
    tenth = np.arange(40)
    many = np.repeat(tenth, 10)
    few = difference("roc_auc_ovr", CLASSES[tenth], better.only(tenth), worse.only(tenth), 0.05)
    clustered = difference("roc_auc_ovr", CLASSES[many], better.only(many), worse.only(many), 0.05, many)
    assert (clustered.lower, clustered.upper, clustered.entities) == (few.lower, few.upper, 40)


@pytest.mark.parametrize(
    ("rows", "answers", "says"),
    [
        (CLASSES != 2, of_classes(1), "no golden row is of class 2 (of 0 to 3"),
        (CLASSES == 1, of_classes(1), "no golden row is of class 0, 2, 3"),
        (CLASSES >= 0, Predictions(CLASSES), "labels only"),
        (CLASSES >= 0, Predictions(CLASSES, of_classes(1).scores[:, :3]), "hold classes that the model's 3 scores"),
        (CLASSES >= 0, Predictions(CLASSES, FIRST), "needs the scores of every class"),
    ],
)
def test_without_rows_or_scores_of_a_class_there_is_no_auc_of_all(rows, answers, says):
    with pytest.raises(Unmeasurable) as caught:
        difference("roc_auc_ovr", CLASSES[rows], answers.only(rows), answers.only(rows), 0.05)
    assert says in str(caught.value)


@pytest.mark.parametrize("metric", ["pr_auc", "f1"])
def test_drawing_an_entity_draws_all_its_rows(metric):
    codes = random.integers(0, 60, N)
    drawn = weights(60)
    repeated = [np.repeat(np.arange(N), row[codes]) for row in drawn]
    if metric == "pr_auc":
        found = bootstrap.average_precision(TRUTH, TIED, codes)(drawn)
        expected = [average_precision_score(TRUTH[rows], TIED[rows]) for rows in repeated]
    else:
        said = (FIRST > 0.6).astype(int)
        found = bootstrap.f1(TRUTH, said, codes, macro=False)(drawn)
        expected = [f1_score(TRUTH[rows], said[rows]) for rows in repeated]
    assert found == pytest.approx(expected)


def test_an_unknown_class_is_never_right():
    truth, said = np.array([0, 1, -1, -1]), np.array([0, 1, -1, 0])
    assert bootstrap.observed(bootstrap.f1(truth, said, None, macro=True), 4) == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)


def test_bounds_and_standard_error_agree_with_scipys_bootstrap():
    found = difference("pr_auc", TRUTH, binary(FIRST), binary(SECOND), 0.05)

    def statistic(rows):
        return average_precision_score(TRUTH[rows], FIRST[rows]) - average_precision_score(TRUTH[rows], SECOND[rows])

    other = stats.bootstrap(
        (np.arange(N),), statistic, n_resamples=800, method="percentile", confidence_level=0.9, vectorized=False, rng=5
    )
    assert found.value == pytest.approx(statistic(np.arange(N)))
    assert found.se == pytest.approx(other.standard_error, rel=0.1)
    assert found.lower == pytest.approx(other.confidence_interval.low, abs=0.25 * found.se)
    assert found.upper == pytest.approx(other.confidence_interval.high, abs=0.25 * found.se)


def test_a_bound_beyond_the_draws_is_a_normal_one():
    """Of 2,000 draws, the one in 10,000 is not there; their least would be no bound at that level."""
    found = difference("pr_auc", TRUTH, binary(FIRST), binary(SECOND), 1e-4)
    assert found.lower == pytest.approx(stats.norm.ppf(1e-4, found.value, found.se))
    assert found.lower < found.draws.min()


def test_the_p_value_is_the_level_at_which_the_upper_bound_excludes():
    at_five, at_twenty = (difference("f1", TRUTH, binary(FIRST), binary(SECOND), alpha) for alpha in (0.05, 0.2))
    assert p_value(at_five, at_five.upper) == pytest.approx(0.05, abs=0.01)
    assert p_value(at_five, at_twenty.upper) == pytest.approx(0.2, abs=0.02)
    assert p_value(at_five, 1.0) < 1e-3


def test_a_model_that_never_answers_positive_has_f1_zero_and_no_class_at_all_has_none():
    never = Predictions(np.zeros(N, dtype=int), np.zeros(N))
    assert estimate("f1", TRUTH, never, 0.05).value == 0.0
    with pytest.raises(Unmeasurable, match="no golden row"):
        estimate("f1", np.zeros(N, dtype=int), never, 0.05)
    with pytest.raises(Unmeasurable, match="no positive golden rows"):
        estimate("pr_auc", np.zeros(N, dtype=int), never, 0.05)
