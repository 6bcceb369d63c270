"""Predictions of some rows, by two versions, joined to those of the whole request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from serving.inference.prediction import Prediction

Form = tuple[Any, ...]


class NotJoined(Exception):
    """The outputs of the two versions cannot be joined row by row."""


def form_of(prediction: Prediction) -> Form:
    """Return what predictions of two versions have in common where a client can take one for the other.

    The kind of the labels, and how many scores a row has; of the former, numbers are one kind.
    """
    label, scores = prediction.labels[0], prediction.scores
    kind = "truth value" if isinstance(label, bool) else "text" if isinstance(label, str) else "number"
    if scores is None:
        return kind, "no scores"
    return kind, f"{len(scores[0])} scores a row" if isinstance(scores[0], list) else "a score a row"


def raw_form_of(raw: Any) -> Form:
    """Return the same of a model's raw output, as MLflow's scoring server writes it."""
    if isinstance(raw, np.ndarray | list) and len(raw):
        return "array", *np.shape(raw[0])
    if hasattr(raw, "columns"):
        return "table", *raw.columns
    return (type(raw).__name__,)


def joined(rows: int, parts: Sequence[tuple[Sequence[int], Prediction]], *, with_raw: bool) -> Prediction:
    """Join the predictions of `parts`, with the numbers of their rows. Raises NotJoined for the raw output."""
    labels: list[Any] = [None] * rows
    scores: list[Any] | None = None if parts[0][1].scores is None else [None] * rows
    for numbers, prediction in parts:
        for place, number in enumerate(numbers):
            labels[number] = prediction.labels[place]
        if scores is not None and prediction.scores is not None:
            for place, number in enumerate(numbers):
                scores[number] = prediction.scores[place]
    raw = _joined_raw([number for numbers, _ in parts for number in numbers], parts) if with_raw else None
    return Prediction(raw, labels, scores)


def _joined_raw(numbers: Sequence[int], parts: Sequence[tuple[Sequence[int], Prediction]]) -> Any:
    """Join raw outputs; each value as its version returned it."""
    raws = [prediction.raw for _, prediction in parts]
    places = np.argsort(numbers, kind="stable")
    if any(prediction.rows != len(rows) for rows, prediction in parts):
        raise NotJoined(f"outputs of type {type(raws[0]).__name__}")
    if all(hasattr(raw, "iloc") for raw in raws):
        import pandas as pd  # imported by now, with the model

        return cast(Any, pd.concat(raws, ignore_index=True)).iloc[places].reset_index(drop=True)
    arrays = [raw for raw in raws if isinstance(raw, np.ndarray)]
    if len(arrays) == len(raws) and len({(raw.dtype.kind, raw.shape[1:]) for raw in arrays}) == 1:
        return np.concatenate(arrays)[places]
    values = [value for raw in raws for value in (raw.tolist() if isinstance(raw, np.ndarray) else raw)]
    return [values[place] for place in places]
