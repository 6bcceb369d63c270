"""Curves and histograms of predictions, as pictures need them: a hundred points at most for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_POINTS = 100
BINS = 10
"""Of a calibration curve, of equal width."""
RESIDUAL_BINS = 24
TAILS = (0.5, 99.5)
"""Percentiles between which residuals are shown; what is beyond is counted in the outermost bins."""


@dataclass(frozen=True, eq=False)
class Roc:
    """Shares of negatives (`false_positive`) and positives (`true_positive`) with a score from a threshold on, (k,)
    each, from (0, 0) to (1, 1); `area` below the whole curve."""

    false_positive: Floats
    true_positive: Floats
    area: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """Of each bin of scores that has rows: the mean score, the share of rows that are true, and their number, (k,)."""

    score: Floats
    share: Floats
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """`edges` (k + 1,); `shares` (k,) of the rows, summing to 1."""

    edges: Floats
    shares: Floats


def roc(truth: NDArray[Any], scores: Floats, most: int = MOST_POINTS) -> Roc | None:
    """Return the ROC curve, a point per distinct score, thinned to `most` points; None where one class has no rows.

    `truth` (n,): whether a row is positive. The points kept are spread evenly along the curve (Fawcett, 2006,
    doi:10.1016/j.patrec.2005.10.010, algorithm 1).
    """
    positive = truth.astype(bool)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of the rows of one score
    true = np.concatenate([[0.0], np.cumsum(positive[order])[last] / positives])
    false = np.concatenate([[0.0], np.cumsum(~positive[order])[last] / negatives])
    area = float(np.trapezoid(true, false))
    if len(true) > most:
        along = true + false  # grows from 0 to 2
        kept = np.unique(np.searchsorted(along, np.linspace(0.0, 2.0, most)).clip(0, len(along) - 1))
        true, false = true[kept], false[kept]
    return Roc(false, true, area)


def calibration(truth: NDArray[Any], scores: Floats, bins: int = BINS) -> Calibration | None:
    """Return the calibration curve over bins of equal width from 0 to 1; None for scores beyond that range."""
    if len(scores) == 0 or scores.min() < 0 or scores.max() > 1:
        return None
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], scores)
    rows = np.bincount(place, minlength=bins)
    full = np.flatnonzero(rows)
    sums = np.bincount(place, weights=scores, minlength=bins)[full]
    true = np.bincount(place, weights=truth.astype(np.float64), minlength=bins)[full]
    return Calibration(sums / rows[full], true / rows[full], rows[full])


def residuals(*errors: Floats) -> list[Histogram]:
    """Return a histogram of each model's errors (n,), over common bins; none without a finite error."""
    finite = [each[np.isfinite(each)] for each in errors]
    if not finite or min(map(len, finite)) == 0:
        return []
    low, high = np.percentile(np.concatenate(finite), TAILS)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, RESIDUAL_BINS + 1)
    return [Histogram(edges, np.histogram(each.clip(low, high), edges)[0] / len(each)) for each in finite]
