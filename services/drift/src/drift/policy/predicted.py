"""What a version predicted for a row, read as its gates read it."""

from __future__ import annotations

from contracts import Scalar
from contracts.labels import ClassLabels
from contracts.metrics import Problem

THRESHOLD = 0.5
"""On the score, where the prediction carries no class."""


def predicted_class(score: float | None, label: Scalar, known: ClassLabels, problem: Problem) -> int | None:
    """Return the number of the predicted class; UNKNOWN for a class that no row can be of, None without prediction."""
    if problem == "binary" and score is not None:
        return int(score >= THRESHOLD)
    return None if label is None else known.number(label)
