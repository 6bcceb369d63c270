"""The verdict of a benchmark: the champion against trivial baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts import Outcome
from gatekeeper.policy.benchmark import FREQUENCIES, LAST_VALUE, Facts, baselines, decide
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series

N = 2000
RANDOM = np.random.default_rng(1)
SIGNAL = RANDOM.normal(size=N)
BINARY = (RANDOM.random(N) < 1 / (1 + np.exp(-1.5 * SIGNAL - 1))).astype(np.int64)
SCORES = 1 / (1 + np.exp(-1.5 * SIGNAL - 1))
NOISE = RANDOM.random(N)
NUMBERS = 50 + np.cumsum(RANDOM.normal(size=N))
BEFORE = np.concatenate([[np.nan], NUMBERS[:-1]])
SERIES = Series(BEFORE, float(np.abs(np.diff(NUMBERS)).mean()))
CLASSES = np.argsort(np.argsort(SIGNAL)) * 3 // N
OF_CLASSES = np.eye(3)[CLASSES] * 0.7 + 0.1


def binary(metric: str, scores: Any, **changes: Any) -> Facts:
    return Facts("binary", metric, BINARY, Predictions((scores >= 0.5).astype(np.int64), scores), 3, **changes)


def classes(metric: str, truth: Any) -> Facts:
    return Facts("multiclass", metric, truth, Predictions(CLASSES, OF_CLASSES), 3)


def numbers(metric: str, predicted: Any, **changes: Any) -> Facts:
    return Facts("regression", metric, NUMBERS, Predictions(predicted), 3, **changes)


CASES: list[tuple[str, Facts, Outcome, str]] = [
    ("a good one", binary("roc_auc", SCORES), Outcome.PASSED, FREQUENCIES),
    ("noise", binary("roc_auc", NOISE), Outcome.FAILED, FREQUENCIES),
    ("backwards", binary("roc_auc", 1 - SCORES), Outcome.FAILED, FREQUENCIES),
    ("good scores", binary("log_loss", SCORES), Outcome.PASSED, FREQUENCIES),
    ("scores of another scale", binary("log_loss", SCORES**8), Outcome.FAILED, FREQUENCIES),
    ("accuracy", binary("accuracy", SCORES, classes=("no", "yes")), Outcome.PASSED, "always yes"),
    ("the majority class itself", binary("accuracy", np.ones(N)), Outcome.FAILED, "always 1"),
    ("f1 of guesses", binary("f1", NOISE), Outcome.FAILED, "always 1"),
    (
        "three classes",
        classes("accuracy", CLASSES),
        Outcome.PASSED,
        "",
    ),
    (
        "three classes by chance",
        classes("log_loss", np.roll(CLASSES, 1)),
        Outcome.FAILED,
        FREQUENCIES,
    ),
    ("numbers without an order", numbers("mae", NUMBERS + 1), Outcome.PASSED, "median"),
    ("worse than the last value", numbers("mae", NUMBERS + 3, series=SERIES), Outcome.FAILED, LAST_VALUE),
    ("better than the last value", numbers("mae", NUMBERS + 0.1, series=SERIES), Outcome.PASSED, LAST_VALUE),
    ("squares", numbers("rmse", np.full(N, 0.0)), Outcome.FAILED, "mean"),
    ("a quantile", numbers("pinball_90", NUMBERS), Outcome.PASSED, "quantile 0.9"),
    ("a prediction that is missing", numbers("mase", BEFORE.copy(), series=SERIES), Outcome.INCONCLUSIVE, ""),
    ("labels only", Facts("binary", "roc_auc", BINARY, Predictions(BINARY), 3), Outcome.INCONCLUSIVE, ""),
    (
        "one class",
        replace(binary("roc_auc", SCORES), truth=np.ones(N, np.int64)),
        Outcome.INCONCLUSIVE,
        "",
    ),
    (
        "nothing",
        replace(binary("roc_auc", SCORES[:0]), truth=BINARY[:0]),
        Outcome.INCONCLUSIVE,
        "",
    ),
]


@pytest.mark.parametrize(
    ("facts", "outcome", "strongest"), [each[1:] for each in CASES], ids=[each[0] for each in CASES]
)
def test_cases(facts: Facts, outcome: Outcome, strongest: str) -> None:
    found = decide(facts)
    assert found.outcome is outcome, found.reason
    if strongest:
        assert found.strongest is not None and found.strongest.name == strongest
        assert found.strongest.name in found.reason and f"v{facts.champion_version}" in found.reason
    assert (found.strongest is None) == (not found.baselines)
    if outcome is Outcome.INCONCLUSIVE:
        assert found.reason


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [(0.54, Outcome.INCONCLUSIVE), (0.95, Outcome.FAILED), (0.5, Outcome.FAILED), (None, Outcome.FAILED)],
)
def test_few_rows_are_no_alert_of_a_weak_model_and_one_of_a_strong_one(
    expected: float | None, outcome: Outcome
) -> None:
    """A gain that is not shown: an alert, unless these rows could not have shown the gain that there was."""
    few = np.arange(800, 1000)
    scores = NOISE + 0.06 * SIGNAL
    facts = Facts("binary", "roc_auc", BINARY[few], Predictions(BINARY[few], scores[few]), 3, expected=expected)
    found = decide(facts)
    assert found.strongest is not None and found.strongest.found.value > 0 > found.strongest.found.lower, found.reason
    assert found.outcome is outcome, found.reason


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier", "pr_auc", "accuracy", "f1"])
def test_the_baseline_is_the_best_constant(metric: str) -> None:
    """It has the value that the gates call trivial."""
    [found] = baselines(binary(metric, SCORES))
    assert estimates.value(metric, BINARY, found.answers) == pytest.approx(estimates.trivial(metric, BINARY))


@pytest.mark.parametrize("metric", ["mae", "rmse", "pinball_10"])
def test_the_baseline_of_numbers_is_the_best_constant(metric: str) -> None:
    [found] = baselines(numbers(metric, NUMBERS))
    assert estimates.value(metric, NUMBERS, found.answers) == pytest.approx(estimates.trivial(metric, NUMBERS))


def test_an_equal_model_is_seldom_called_better() -> None:
    """At most α of the time, here 5 %."""
    random, passed = np.random.default_rng(5), 0
    for _ in range(200):
        truth = (random.random(300) < 0.4).astype(np.int64)
        scores = random.random(300)
        passed += decide(Facts("binary", "roc_auc", truth, Predictions(truth, scores), 1)).outcome is Outcome.PASSED
    assert passed <= 20  # 5 % of 200 are 10; more than 20 happens once in a thousand times
