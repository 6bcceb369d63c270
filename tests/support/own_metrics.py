"""Metrics as a user writes them: importable functions, for policies of tests."""

from __future__ import annotations

from typing import Any

import numpy as np


def profit_score(labels: Any, predictions: Any) -> float:
    """Each right yes earns 10, each wrong one costs 3."""
    return float(np.mean((predictions == 1) * np.where(labels == 1, 10.0, -3.0)))


def over_error(labels: Any, predictions: Any) -> float:
    return float(np.mean(np.maximum(predictions - labels, 0.0)))


def sharp_loss(labels: Any, predictions: Any, scores: Any) -> float:
    """The Brier score, of the function's own scores."""
    return float(np.mean((scores - labels) ** 2))


def broken_score(labels: Any, predictions: Any) -> float:
    raise ZeroDivisionError("of its own")


def empty_score(labels: Any, predictions: Any) -> float:
    return float("nan")


fixed_score = 0.5
