"""The performance metric of a window: the champion's predictions against the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    roc_auc_score,
    root_mean_squared_error,
)

from contracts import OutputFormat, Scalar
from contracts.labels import BINARY, UNKNOWN, ClassLabels, number
from contracts.policy import METRICS, Problem
from drift.policy import Labelled

THRESHOLD = 0.5
"""On the score, where the prediction carries no class."""

UNNAMED = ', which the model does not name: log it with metadata={"gauntlet": {"classes": ["negative", "positive"]}}'
NEEDS_SCORES = {"roc_auc", "pr_auc", "log_loss", "brier"}
ERRORS = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "mape": mean_absolute_percentage_error,
}


@dataclass(frozen=True)
class Answered:
    """One labelled row; `score` is the probability of the positive class, `answer` the predicted class or number."""

    score: float | None
    answer: Scalar
    truth: Scalar


@dataclass(frozen=True)
class _Read:
    """Predictions and labels of the readable rows, as numbers; `why` says what could not be read."""

    said: np.ndarray
    truth: np.ndarray
    why: str


def measure(
    metric: str, window_rows: int, labelled: Sequence[Answered], output: OutputFormat | None = None
) -> Labelled:
    """Compute `metric` on the readable rows; `why` states how many were not, with one of them.

    `output`: how the version's predictions are read; None: as the rows suggest.
    Raises KeyError for a metric that is not in METRICS.
    """
    problem = _problem(metric, labelled, output)
    if METRICS[metric].of_every_class or (problem == "multiclass" and metric in NEEDS_SCORES):
        why = f"{metric} of more than two classes needs the score of each, which PredictionMade does not carry"
        return Labelled(window_rows, len(labelled), None, None, why)
    if problem == "regression":
        found = _numbers(labelled)
    else:
        found = _classes(metric, labelled, problem, output.classes if output else ())
    n, classes = len(found.truth), None if problem == "regression" else len(np.unique(found.truth))
    if metric == "mape" and (zeros := int((found.truth == 0).sum())):
        return Labelled(window_rows, n, classes, None, f"a relative error of zero is not defined: {zeros} labels are 0")
    computable = n > 0 and (classes is None or classes >= 2 or metric == "accuracy")
    value = _value(metric, found.truth, found.said, problem) if computable else None
    return Labelled(window_rows, n, classes, value, found.why)


def _problem(metric: str, labelled: Sequence[Answered], output: OutputFormat | None) -> Problem:
    possible = METRICS[metric].problems
    if output is not None and output.problem in possible:
        return output.problem
    if len(possible) == 1:
        return possible[0]
    has_scores = any(row.score is not None for row in labelled)
    binary = ClassLabels(BINARY)
    if has_scores or all(UNKNOWN not in (binary.number(row.truth), binary.number(row.answer)) for row in labelled):
        return "binary"
    return "multiclass"


def _numbers(labelled: Sequence[Answered]) -> _Read:
    said, truth = [number(row.answer) for row in labelled], [number(row.truth) for row in labelled]
    unread = [row.truth for row, true in zip(labelled, truth, strict=True) if true is None]
    silent = sum(value is None for value in said)
    return _readable(said, truth, _unread(unread, "it is no number"), _silent(silent, "number"))


def _classes(metric: str, labelled: Sequence[Answered], problem: Problem, names: tuple[Scalar, ...]) -> _Read:
    known = ClassLabels(names or (BINARY if problem == "binary" else ()))
    if problem == "multiclass":
        known = known.with_others(row.truth for row in labelled)  # the model cannot predict them: they are its errors
    truth = [None if (found := known.number(row.truth)) == UNKNOWN else found for row in labelled]
    unread = [row.truth for row, true in zip(labelled, truth, strict=True) if true is None]
    if metric in NEEDS_SCORES:
        said: list[float | None] = [row.score for row in labelled]
    else:
        said = [_said(row, known, problem) for row in labelled]
    silent = _silent(sum(value is None for value in said), "score" if metric in NEEDS_SCORES else "class")
    which = f"it is none of the classes {', '.join(map(repr, known.names))}" + ("" if names else UNNAMED)
    return _readable(
        said, truth, _unread(unread, which), _silent(silent, "score" if metric in NEEDS_SCORES else "class")
    )


def _readable(said: Sequence[float | None], truth: Sequence[float | None], *unread: str) -> _Read:
    pairs = [(a, b) for a, b in zip(said, truth, strict=True) if a is not None and b is not None]
    usable = np.array(pairs, dtype=float).reshape(-1, 2)
    return _Read(usable[:, 0], usable[:, 1], "; ".join(filter(None, unread)))


def _unread(labels: list[Scalar], why: str) -> str:
    if not labels:
        return ""
    return f"{len(labels)} labels could not be read, for example {str(labels[0])[:80]!r}: {why}"


def _silent(rows: int, what: str) -> str:
    return f"{rows} predictions carry no {what}" if rows else ""


def _said(row: Answered, known: ClassLabels, problem: Problem) -> int | None:
    """Return the number of the predicted class, which is UNKNOWN for a class that no row can be of."""
    if problem == "binary" and row.score is not None:
        return int(row.score >= THRESHOLD)
    return None if row.answer is None else known.number(row.answer)


def _value(metric: str, truth: np.ndarray, said: np.ndarray, problem: Problem) -> float:
    if metric == "accuracy":
        return float((truth == said).mean())
    if metric == "f1":
        labels = [1] if problem == "binary" else None
        return float(f1_score(truth, said, labels=labels, average="macro", zero_division=0))
    if metric == "roc_auc":
        return float(roc_auc_score(truth, said))
    if metric == "pr_auc":
        return float(average_precision_score(truth, said))
    if metric == "log_loss":
        return float(log_loss(truth, np.clip(said, 0.0, 1.0), labels=[0, 1]))
    if metric == "brier":
        return float(brier_score_loss(truth, np.clip(said, 0.0, 1.0), labels=[0, 1]))
    with np.errstate(over="ignore"):
        return float(ERRORS[metric](truth, said))
