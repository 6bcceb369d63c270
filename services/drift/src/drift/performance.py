"""The performance metric of a window: the champion's predictions against the labels."""

from __future__ import annotations

import math
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

from contracts import Scalar
from contracts.policy import METRICS
from drift.policy import Labelled

THRESHOLD = 0.5
"""On the score, where the prediction carries no class."""

BINARY = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
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


def measure(metric: str, window_rows: int, labelled: Sequence[Answered]) -> Labelled:
    """Compute `metric` on the readable rows; `why` states how many were not.

    Raises KeyError for a metric that is not in METRICS.
    """
    if METRICS[metric].of_every_class:
        why = f"{metric} needs the score of each class, which answered rows do not carry"
        return Labelled(window_rows, len(labelled), None, None, why)
    if METRICS[metric].problems == ("regression",):
        pairs = [(_number(row.answer), _number(row.truth)) for row in labelled]
    elif metric in NEEDS_SCORES:
        pairs = [(row.score, _class(row.truth)) for row in labelled]
    else:
        return _of_classes(metric, window_rows, labelled)
    usable = np.array([(said, true) for said, true in pairs if said is not None and true is not None], dtype=float)
    unreadable = len(labelled) - len(usable)
    why = f"{unreadable} labelled rows have no readable answer or label for {metric}" if unreadable else ""
    if not len(usable):
        return Labelled(window_rows, 0, 0, None, why)
    said, truth = usable[:, 0], usable[:, 1]
    if metric == "mape" and (truth == 0).any():
        why = f"a relative error of zero is not defined: {int((truth == 0).sum())} labels are 0"
        return Labelled(window_rows, len(usable), None, None, why)
    classes = None if METRICS[metric].problems == ("regression",) else len(np.unique(truth))
    computable = classes is None or classes == 2
    return Labelled(window_rows, len(usable), classes, _value(metric, truth, said) if computable else None, why)


def _value(metric: str, truth: np.ndarray, said: np.ndarray) -> float:
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


def _of_classes(metric: str, window_rows: int, labelled: Sequence[Answered]) -> Labelled:
    said = [_said(row) for row in labelled]
    pairs = [(a, _text(row.truth)) for a, row in zip(said, labelled, strict=True) if a is not None]
    pairs = [(a, truth) for a, truth in pairs if truth is not None]
    unreadable = len(labelled) - len(pairs)
    why = f"{unreadable} labelled rows have no readable answer or label for {metric}" if unreadable else ""
    if not pairs:
        return Labelled(window_rows, 0, 0, None, why)
    answers, truths = [answer for answer, _ in pairs], [truth for _, truth in pairs]
    classes = set(truths)
    if metric == "accuracy":
        hits = sum(answer == truth for answer, truth in pairs)
        return Labelled(window_rows, len(pairs), len(classes), hits / len(pairs), why)
    if classes <= {"0", "1"}:
        value = float(f1_score(truths, answers, labels=["1"], average="macro", zero_division=0))
    elif len(classes) == 2:
        why = f"which of the classes {', '.join(sorted(classes))} is the positive one is not known here"
        return Labelled(window_rows, len(pairs), 2, None, why)
    else:
        value = float(f1_score(truths, answers, average="macro", zero_division=0))
    return Labelled(window_rows, len(pairs), len(classes), value, why)


def _said(row: Answered) -> str | None:
    if row.answer is not None:
        return _text(row.answer)
    return None if row.score is None else str(int(row.score >= THRESHOLD))


def _class(value: Scalar) -> float | None:
    return BINARY.get(_text(value) or "")


def _text(value: Scalar) -> str | None:
    """Normalise a class label: 1, 1.0, True and "true" are the same."""
    if value is None:
        return None
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    text = str(value).strip()
    return {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}.get(text.lower(), text)


def _number(value: Scalar) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
