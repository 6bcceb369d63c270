"""Whether a form answers as the model does, on rows made to find out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forms.form import Form, Proof, Refused, Row

LABELS = "OUSb?"
"""Kinds of arrays that hold labels."""


def prove(form: Form, rows: Sequence[Row], expected: np.ndarray, tolerance: float = 1e-6) -> Proof | Refused:
    """Compare with `expected`, the model's own answers to `rows`: (n,) or (n, k).

    Labels must be equal: the largest of the k, or which side of 0.5 a lone probability is on, or the answers themselves
    where they are labels. Scores may differ by `tolerance`, absolute.
    """
    expected = np.asarray(expected)
    try:
        found = np.asarray(form.predict(rows))
    except Exception as error:
        return Refused(form.name, f"fails on the rows to prove it by: {type(error).__name__}: {error}")
    if found.shape != expected.shape:
        return Refused(form.name, f"answers shape {found.shape}, the model {expected.shape}")
    if expected.dtype.kind in LABELS or expected.dtype.kind in "iu":
        differ = int((found != expected).sum())
        return Proof(form.name, len(rows), differ, 0.0, tolerance)
    if found.dtype.kind not in "fiu":
        return Refused(form.name, f"answers {found.dtype}, the model {expected.dtype}")
    one, other = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(one - other)
    gaps[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return Proof(form.name, len(rows), _labels_differ(one, other), float(gaps.max(initial=0.0)), tolerance)


def _labels_differ(one: np.ndarray, other: np.ndarray) -> int:
    if one.ndim == 2 and one.shape[1] > 1:
        return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())
    inside = bool(((other >= 0) & (other <= 1)).all())
    return int(((one > 0.5) != (other > 0.5)).sum()) if inside else 0
