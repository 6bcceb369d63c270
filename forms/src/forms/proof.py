"""Verifies that a compiled model predicts as the model does, on rows made for this purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from forms.form import CompiledModel, ParityReport, Rejection, Row

LABELS = "OUSb?"
"""Kinds of arrays that hold labels."""


def answered(
    ask: Callable[[Sequence[Row]], Any], rows: Sequence[Row], most_calls: int = 48
) -> tuple[list[Row], np.ndarray, list[Row]]:
    """Return the `rows` that the model predicts, its predictions, and some rows that it rejects with an exception.

    `ask` calls the model with any number of rows: once if it accepts them all, otherwise by bisection; rows that are
    undecided after `most_calls` are omitted.
    """
    known: list[Row] = []
    answers: list[np.ndarray] = []
    refused: list[Row] = []
    waiting, calls = deque([list(rows)] if rows else []), 0
    while waiting and calls < most_calls:
        part = waiting.popleft()  # breadth first: many small parts are more informative than one isolated row
        calls += 1
        try:
            found = np.asarray(ask(part))
        except Exception:
            if len(part) == 1:
                refused += part
            else:
                waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
        else:
            known += part
            answers.append(found)
    return known, np.concatenate(answers) if answers else np.empty(0), refused


def prove(
    form: CompiledModel, rows: Sequence[Row], expected: np.ndarray, tolerance: float = 1e-6, refused: Sequence[Row] = ()
) -> ParityReport | Rejection:
    """Compare with `expected`, the model's own predictions for `rows`: (n,) or (n, k).

    Labels must be equal: the largest of the k, or the side of 0.5 of a single probability, or the predictions
    themselves where they are labels. Scores may differ by `tolerance`, absolute. The form must also reject the rows
    that the model rejects (`refused`).
    """
    for row in refused:
        try:
            form.predict([row])
        except ValueError:
            continue
        except Exception as error:
            return Rejection(form.name, f"fails on a row that the model refuses: {type(error).__name__}: {error}")
        return Rejection(form.name, f"answers a row that the model refuses: {row}"[:300])
    expected = np.asarray(expected)
    try:
        found = np.asarray(form.predict(rows))
    except Exception as error:
        return Rejection(form.name, f"fails on the rows to prove it by: {type(error).__name__}: {error}")
    if found.shape != expected.shape:
        return Rejection(form.name, f"answers shape {found.shape}, the model {expected.shape}")
    if expected.dtype.kind in LABELS or expected.dtype.kind in "iu":
        differ = int((found != expected).sum())
        return ParityReport(form.name, len(rows), differ, 0.0, tolerance)
    if found.dtype.kind not in "fiu":
        return Rejection(form.name, f"answers {found.dtype}, the model {expected.dtype}")
    one, other = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(one - other)
    gaps[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return ParityReport(form.name, len(rows), _labels_differ(one, other), float(gaps.max(initial=0.0)), tolerance)


def _labels_differ(one: np.ndarray, other: np.ndarray) -> int:
    if one.ndim == 2 and one.shape[1] > 1:
        return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())
    inside = bool(((other >= 0) & (other <= 1)).all())
    return int(((one > 0.5) != (other > 0.5)).sum()) if inside else 0
