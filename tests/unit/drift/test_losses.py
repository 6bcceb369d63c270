"""The loss of one prediction and the agreement of two, case by case, and against the metrics of drift's verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
)

from contracts import Loss, OutputFormat
from contracts.losses import LossKind
from drift.database.window_rows import Answered
from drift.policy.losses import Answer, Reader
from drift.scoring.performance import measure

BINARY = OutputFormat(problem="binary")
CHURN = OutputFormat(problem="binary", classes=("stays", "leaves"))
TURNED = OutputFormat(problem="binary", classes=("leaves", "stays"))
ANIMALS = OutputFormat(problem="multiclass", classes=("cat", "dog", "owl"))
NUMBER = OutputFormat(problem="regression")
ZERO_ONE, BRIER = Loss(kind=LossKind.ZERO_ONE), Loss(kind=LossKind.BRIER)
ABSOLUTE, SQUARED = Loss(kind=LossKind.ABSOLUTE, scale=10), Loss(kind=LossKind.SQUARED, scale=4)
PERCENTAGE, PINBALL = Loss(kind=LossKind.PERCENTAGE), Loss(kind=LossKind.PINBALL, scale=2, quantile=0.9)


@pytest.mark.parametrize(
    ("loss", "output", "score", "label", "truth", "expected"),
    [
        (ZERO_ONE, BINARY, None, 1, 1, 0),
        (ZERO_ONE, BINARY, None, 1, 0, 1),
        (ZERO_ONE, BINARY, 0.5, None, 1, 0),
        (ZERO_ONE, BINARY, 0.49, 1, 0, 0),  # the score decides, as in the verdict
        (ZERO_ONE, BINARY, 0.9, None, "true", 0),
        (ZERO_ONE, BINARY, 0.9, None, 1.0, 0),
        (ZERO_ONE, BINARY, 0.9, None, "maybe", None),
        (ZERO_ONE, BINARY, 0.9, None, None, None),
        (ZERO_ONE, BINARY, 0.9, None, math.nan, None),
        (ZERO_ONE, BINARY, None, None, 1, None),
        (ZERO_ONE, BINARY, None, "neither", 1, 1),
        (ZERO_ONE, CHURN, 0.9, "leaves", "leaves", 0),
        (ZERO_ONE, CHURN, 0.9, "leaves", "stays", 1),
        (ZERO_ONE, CHURN, 0.9, "leaves", 1, None),
        (ZERO_ONE, ANIMALS, None, "cat", "cat", 0),
        (ZERO_ONE, ANIMALS, None, "cat", "owl", 1),
        (ZERO_ONE, ANIMALS, None, "cat", "fox", 1),  # it cannot predict it: its error
        (ZERO_ONE, ANIMALS, None, "cat", None, None),
        (ZERO_ONE, ANIMALS, None, None, "cat", None),
        (ZERO_ONE, None, None, "cat", "cat", 0),
        (ZERO_ONE, None, None, 3, "3.0", 0),
        (ZERO_ONE, None, 0.7, None, 1, 0),
        (BRIER, BINARY, 0.8, 1, 1, 0.04),
        (BRIER, BINARY, 0.8, 1, 0, 0.64),
        (BRIER, CHURN, 0.25, None, "leaves", 0.5625),
        (BRIER, BINARY, 1.5, None, 0, 1),
        (BRIER, BINARY, None, 1, 1, None),
        (BRIER, BINARY, 0.8, 1, "?", None),
        (BRIER, None, 0.8, 1, 1, 0.04),
        (ABSOLUTE, NUMBER, None, 3.0, 7, 0.4),
        (ABSOLUTE, NUMBER, None, 3.0, "7", 0.4),
        (ABSOLUTE, NUMBER, None, 3.0, 70, 1),
        (ABSOLUTE, NUMBER, None, 3.0, "much", None),
        (ABSOLUTE, NUMBER, None, "much", 3.0, None),
        (ABSOLUTE, NUMBER, None, 1e308, -1e308, 1),
        (SQUARED, NUMBER, None, 1.0, 2, 0.25),
        (SQUARED, NUMBER, None, 1e200, -1e200, 1),
        (PERCENTAGE, NUMBER, None, 5, 4, 0.25),
        (PERCENTAGE, NUMBER, None, -5, -4, 0.25),
        (PERCENTAGE, NUMBER, None, 0, 0, 0),
        (PERCENTAGE, NUMBER, None, 0.1, 0, 1),
        (PINBALL, NUMBER, None, 1, 2, 0.45),
        (PINBALL, NUMBER, None, 2, 1, 0.05),
        (None, BINARY, 0.8, 1, 1, None),
    ],
)
def test_a_row_has_the_loss(loss, output, score, label, truth, expected):
    assert Reader(output, loss).loss(Answer(score, label), truth) == (
        expected if expected is None else pytest.approx(expected, abs=1e-12)
    )


@pytest.mark.parametrize(
    ("loss", "metric"),
    [
        (LossKind.ZERO_ONE, accuracy_score),
        (LossKind.BRIER, brier_score_loss),
        (LossKind.ABSOLUTE, mean_absolute_error),
        (LossKind.SQUARED, mean_squared_error),
        (LossKind.PERCENTAGE, mean_absolute_percentage_error),
        (LossKind.PINBALL, lambda truth, said: mean_pinball_loss(truth, said, alpha=0.3)),
    ],
)
def test_the_mean_loss_is_the_metric_of_scikit_learn(loss, metric):
    rng = np.random.default_rng(3)
    classes = loss in (LossKind.ZERO_ONE, LossKind.BRIER)
    truth = rng.integers(0, 2, 400) if classes else rng.uniform(1, 5, 400)
    said = rng.random(400) if classes else truth * rng.uniform(0.6, 1.4, 400)
    scale = 1.0 if classes or loss is LossKind.PERCENTAGE else 100.0
    reader = Reader(BINARY if classes else NUMBER, Loss(kind=loss, scale=scale, quantile=0.3))
    rows = zip(said.tolist(), truth.tolist(), strict=True)
    losses = [reader.loss(Answer(value if classes else None, value), label) for value, label in rows]
    expected = metric(truth, said >= 0.5) if loss is LossKind.ZERO_ONE else metric(truth, said)
    mean = scale * float(np.mean(losses))
    assert mean == pytest.approx(1 - expected if loss is LossKind.ZERO_ONE else expected)


@pytest.mark.parametrize("output", [BINARY, CHURN, ANIMALS, NUMBER, None])
@pytest.mark.parametrize("truth", [0, 1, "1", True, "leaves", "stays", "cat", "fox", "", None, 2.5, "2.5"])
@pytest.mark.parametrize("answer", [Answer(0.7, 1), Answer(None, "cat"), Answer(None, 1), Answer(None, "leaves")])
def test_what_the_verdict_of_a_window_cannot_read_has_no_loss_and_the_rest_the_same(output, truth, answer):
    metric = "mae" if output is NUMBER else "accuracy"
    found = measure(metric, 1, [Answered(answer.score, answer.label, truth)], output)
    loss = Loss(kind=LossKind.ABSOLUTE, scale=1000) if output is NUMBER else ZERO_ONE
    value = Reader(output, loss).loss(answer, truth)
    if output is None and answer.score is None:
        return  # a window is binary or not by all of its rows
    if found.observed is None:
        assert value is None
    else:
        assert value == pytest.approx(found.observed / 1000 if output is NUMBER else 1 - found.observed)


@pytest.mark.parametrize(
    ("first", "one", "second", "other", "agree"),
    [
        (BINARY, Answer(0.6, None), BINARY, Answer(0.9, None), True),
        (BINARY, Answer(0.6, None), BINARY, Answer(0.4, None), False),
        (BINARY, Answer(0.6, 1), BINARY, Answer(None, True), True),
        (CHURN, Answer(0.9, None), CHURN, Answer(None, "leaves"), True),
        (
            CHURN,
            Answer(0.9, None),
            OutputFormat(problem="binary", classes=("leaves", "stays")),
            Answer(0.1, None),
            True,
        ),
        (ANIMALS, Answer(None, "cat"), ANIMALS, Answer(None, "cat"), True),
        (ANIMALS, Answer(None, "cat"), ANIMALS, Answer(None, "dog"), False),
        (ANIMALS, Answer(None, "cat"), OutputFormat(problem="multiclass"), Answer(None, "cat"), True),
        (ANIMALS, Answer(None, None), ANIMALS, Answer(None, None), False),
        (NUMBER, Answer(None, 100.0), NUMBER, Answer(None, 104.9), True),
        (NUMBER, Answer(None, 100.0), NUMBER, Answer(None, 106), False),
        (NUMBER, Answer(None, -100.0), NUMBER, Answer(None, 100), False),
        (NUMBER, Answer(None, 0.0), NUMBER, Answer(None, 0), True),
        (None, Answer(None, 1.5), None, Answer(None, 1.51), True),
        (None, Answer(None, "a"), None, Answer(None, "a"), True),
        (None, Answer(None, 1), None, Answer(None, 1.0), True),
    ],
)
def test_two_versions_agree(first, one, second, other, agree):
    assert Reader(first).agrees(one, Reader(second), other) is agree
    assert Reader(second).agrees(other, Reader(first), one) is agree
