"""Metrics and their bounds against scikit-learn, SciPy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from gatekeeper.policy.statistics import clopper_pearson, estimates, tango
from gatekeeper.policy.statistics.estimates import Predictions, Unmeasurable, difference, estimate, trivial

random = np.random.default_rng(11)
TRUTH = random.integers(0, 2, 400)
GOOD = np.clip(0.5 + 0.3 * (TRUTH - 0.5) + 0.15 * random.normal(size=400), 0.01, 0.99)
POOR = np.clip(0.5 + 0.1 * (TRUTH - 0.5) + 0.2 * random.normal(size=400), 0.01, 0.99)
NUMBERS = random.normal(size=400)


def binary(scores):
    return Predictions(labels=(scores >= 0.5).astype(int), scores=scores)


BINARY_METRICS = {
    "roc_auc": lambda scores: reference.roc_auc_score(TRUTH, scores),
    "log_loss": lambda scores: reference.log_loss(TRUTH, scores),
    "brier": lambda scores: reference.brier_score_loss(TRUTH, scores),
    "accuracy": lambda scores: reference.accuracy_score(TRUTH, scores >= 0.5),
    "pr_auc": lambda scores: reference.average_precision_score(TRUTH, scores),
    "f1": lambda scores: reference.f1_score(TRUTH, scores >= 0.5),
}


@pytest.mark.parametrize("metric", BINARY_METRICS)
def test_a_binary_metric_is_the_one_of_scikit_learn(metric):
    assert estimate(metric, TRUTH, binary(GOOD), 0.05).value == pytest.approx(BINARY_METRICS[metric](GOOD))


@pytest.mark.parametrize("metric", BINARY_METRICS)
def test_a_difference_is_positive_for_the_better_model_whatever_the_metric(metric):
    found = difference(metric, TRUTH, binary(GOOD), binary(POOR), 0.05)
    assert found.value == pytest.approx(abs(BINARY_METRICS[metric](GOOD) - BINARY_METRICS[metric](POOR)))
    assert found.lower < found.value < found.upper
    back = difference(metric, TRUTH, binary(POOR), binary(GOOD), 0.05)
    assert (back.value, back.lower, back.upper) == pytest.approx((-found.value, -found.upper, -found.lower), abs=1e-9)


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_paired_mean_has_the_bound_of_the_textbook(metric):
    losses = {"log_loss": lambda s: -np.log(np.where(TRUTH == 1, s, 1 - s)), "brier": lambda s: (s - TRUTH) ** 2}
    paired = losses[metric](POOR) - losses[metric](GOOD)
    found = difference(metric, TRUTH, binary(GOOD), binary(POOR), 0.05)
    assert found.se == pytest.approx(stats.sem(paired))
    assert found.lower == pytest.approx(stats.norm.ppf(0.05, paired.mean(), stats.sem(paired)))


def test_regression_metrics_are_those_of_scikit_learn():
    guess = NUMBERS + random.normal(size=400)
    assert estimate("mae", NUMBERS, Predictions(guess), 0.05).value == pytest.approx(
        reference.mean_absolute_error(NUMBERS, guess)
    )
    assert estimate("rmse", NUMBERS, Predictions(guess), 0.05).value == pytest.approx(
        reference.root_mean_squared_error(NUMBERS, guess)
    )


def test_a_relative_error_is_the_one_of_scikit_learn_and_zero_has_none():
    truth = 3 + np.abs(NUMBERS)
    found = estimate("mape", truth, Predictions(truth + NUMBERS), 0.05)
    assert found.value == pytest.approx(reference.mean_absolute_percentage_error(truth, truth + NUMBERS))
    with pytest.raises(Unmeasurable, match="1 golden rows have the label 0"):
        estimate("mape", np.array([0.0, 1.0, 2.0]), Predictions(np.ones(3)), 0.05)


def test_the_standard_error_of_an_rmse_difference_agrees_with_a_bootstrap():
    first, second = NUMBERS + random.normal(size=400), NUMBERS + 1.3 * random.normal(size=400)
    found = difference("rmse", NUMBERS, Predictions(first), Predictions(second), 0.05)
    draws = []
    for _ in range(2000):
        rows = random.integers(0, 400, 400)
        draws.append(np.sqrt(((second - NUMBERS)[rows] ** 2).mean()) - np.sqrt(((first - NUMBERS)[rows] ** 2).mean()))
    assert found.se == pytest.approx(np.std(draws), rel=0.1)


def test_multiclass_log_loss_and_accuracy_are_those_of_scikit_learn():
    truth = random.integers(0, 3, 300)
    raw = random.random((300, 3)) + 2 * np.eye(3)[truth]
    scores = raw / raw.sum(axis=1, keepdims=True)
    answers = Predictions(labels=scores.argmax(axis=1), scores=scores)
    assert estimate("log_loss", truth, answers, 0.05).value == pytest.approx(reference.log_loss(truth, scores))
    assert estimate("accuracy", truth, answers, 0.05).value == pytest.approx((answers.labels == truth).mean())


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 20), (13, 20), (20, 20), (870, 1000), (19_000, 20_000)])
def test_the_exact_bounds_are_those_of_statsmodels(hits, n):
    low, high = proportion_confint(hits, n, alpha=0.1, method="beta")
    assert clopper_pearson.lower_bound(hits, n, 0.05) == pytest.approx(0.0 if hits == 0 else low, abs=1e-9)
    assert clopper_pearson.upper_bound(hits, n, 0.05) == pytest.approx(1.0 if hits == n else high, abs=1e-9)


@pytest.mark.parametrize(("wins", "losses"), [(10, 2), (9, 4), (8, 4), (30, 20), (31, 18), (5, 0), (4, 0)])
def test_accuracy_is_superior_exactly_when_mcnemar_says_so(wins, losses):
    truth = np.ones(100, dtype=int)
    first, second = np.ones(100, dtype=int), np.ones(100, dtype=int)
    second[:wins] = 0
    first[wins : wins + losses] = 0
    found = difference("accuracy", truth, Predictions(first), Predictions(second), 0.05)
    p = stats.binomtest(wins, wins + losses, 0.5, alternative="greater").pvalue
    assert (found.lower > 0) == (p < 0.05)


def by_maximum_likelihood(wins, losses, n, delta):
    """Tango's statistic with the nuisance share found by search instead of by formula."""

    def unlikely(q):
        shares = np.array([q + delta, q, 1 - 2 * q - delta])
        counts = np.array([wins, losses, n - wins - losses])
        return -float((counts[counts > 0] * np.log(np.maximum(shares[counts > 0], 1e-300))).sum())

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    q = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (wins - losses - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(("wins", "losses", "n"), [(12, 5, 100), (1, 30, 400), (30, 1, 400), (250, 240, 1000)])
def test_the_bounds_of_an_accuracy_difference_are_tangos(wins, losses, n):
    lower, upper = tango.bounds(wins, losses, n, 1.6449)
    assert lower < (wins - losses) / n < upper
    assert by_maximum_likelihood(wins, losses, n, lower) == pytest.approx(1.6449, abs=1e-3)
    assert by_maximum_likelihood(wins, losses, n, upper) == pytest.approx(-1.6449, abs=1e-3)


def test_no_discordant_row_is_not_proof_of_equality():
    lower, upper = tango.bounds(0, 0, 50, 1.6449)
    assert (lower, upper) == pytest.approx((-(1.6449**2) / (50 + 1.6449**2), 1.6449**2 / (50 + 1.6449**2)))


@pytest.mark.parametrize(("n", "gain", "loss"), [(400, 0.0, 0.02), (400, 0.05, 0.07), (2000, 0.01, 0.02)])
def test_the_lower_bound_of_an_accuracy_difference_holds_as_often_as_it_says(n, gain, loss):
    trials, above = 4000, 0
    for wins, losses, _ in random.multinomial(n, [gain, loss, 1 - gain - loss], size=trials):
        above += tango.bounds(int(wins), int(losses), n, 1.6449)[0] > gain - loss
    assert above / trials < 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)
    assert above / trials > 0.02


def test_two_perfect_rankings_of_few_rows_are_not_known_to_be_equal():
    truth = np.array([0] * 60 + [1] * 6)
    found = difference("roc_auc", truth, binary(np.linspace(0, 1, 66)), binary(np.linspace(0, 1, 66) ** 2), 0.05)
    assert found.lower == pytest.approx(stats.beta.ppf(0.05, 6, 1) - 1)
    same = difference("roc_auc", truth, binary(np.linspace(0, 1, 66)), binary(np.linspace(0, 1, 66)), 0.05)
    assert (same.lower, same.upper) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("metric", "truth", "expected"),
    [
        ("roc_auc", [0, 1, 1, 0], 0.5),
        ("accuracy", [0, 0, 0, 1], 0.75),
        ("log_loss", [0, 1], math.log(2)),
        ("brier", [0, 0, 0, 1], 0.1875),
        ("mae", [1.0, 2.0, 6.0], 5 / 3),
        ("rmse", [1.0, 3.0], 1.0),
        ("mape", [1.0, 10.0, 10.0], (0 + 0.9 + 0.9) / 3),
        ("pr_auc", [0, 0, 0, 1], 0.25),
        ("f1", [0, 0, 0, 1], 0.4),
        ("f1", [0, 0, 1, 2], 2 / 3 / 3),
    ],
)
def test_the_trivial_model_is_the_best_constant(metric, truth, expected):
    assert trivial(metric, np.array(truth)) == pytest.approx(expected)


def test_a_perfect_ranking_of_few_rows_proves_little():
    truth = np.array([0] * 20 + [1] * 5)
    found = estimate("roc_auc", truth, binary(np.linspace(0, 1, 25)), 0.05)
    assert found.value == 1.0
    assert found.lower == pytest.approx(stats.beta.ppf(0.05, 5, 1))


def test_rows_for_power_give_the_power():
    """With n₈₀ rows, a paired mean whose true effect is the margin comes out significant four times in five."""
    effect, sd = 0.1, 1.0
    n = estimates.rows_for_power(100, sd / math.sqrt(100), effect, 0.05)
    seen = sum(random.normal(effect, sd, n).mean() > estimates.z(0.05) * sd / math.sqrt(n) for _ in range(2000))
    assert seen / 2000 == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("metric", "truth", "answers", "says"),
    [
        ("roc_auc", [0, 1, 0, 1], Predictions(np.array([0, 1, 0, 1])), "labels only"),
        ("roc_auc", [1, 1, 1, 1], Predictions(np.zeros(4), np.zeros(4)), "either class"),
        ("log_loss", [0, 1, 0, 1], Predictions(np.zeros(4), np.array([0.1, np.nan, 0.2, 0.3])), "NaN"),
        ("log_loss", [0, 1, 2, 3], Predictions(np.zeros(4), np.full((4, 3), 1 / 3)), "do not name"),
        ("mae", [], Predictions(np.array([])), "no golden rows"),
        ("accuracy", [], Predictions(np.array([])), "no golden rows"),
        ("mae", [1.0], Predictions(np.array([1.0])), "no variance"),
        ("mae", [1.0, 2.0], Predictions(np.array([1.0, np.inf])), "infinity"),
    ],
)
def test_what_cannot_be_measured_says_why(metric, truth, answers, says):
    with pytest.raises(Unmeasurable, match=says):
        estimate(metric, np.array(truth), answers, 0.05)


def test_all_metrics_leaves_out_what_the_answers_do_not_allow():
    assert estimates.all_metrics("binary", TRUTH, Predictions(TRUTH)) == {"accuracy": 1.0, "f1": 1.0}
    assert set(estimates.all_metrics("binary", TRUTH, binary(GOOD))) == set(BINARY_METRICS)
