"""Rows that are ordered in time are not independent: standard errors and draws over moving blocks of points in time.

H. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17, 1989. All
rows of one point in time stay together, so that series may depend on each other in any way: S. Gonçalves, "The moving
blocks bootstrap for panel linear regression models with individual fixed effects", Econometric Theory 27, 2011.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatekeeper.policy.statistics.delong import Floats

SHARE = 4
"""A block is a quarter of the points at most: with fewer blocks, their variance is not known."""
LONGER = 2
"""The automatic length estimates a variance best. A test errs least with longer blocks: its size suffers from the bias
of short ones, and Student's t pays for the variance of long ones (Y. Sun, P. Phillips and S. Jin, "Optimal bandwidth
selection in heteroskedasticity-autocorrelation robust testing", Econometrica 76, 2008). Twice is from simulation."""
SIGNIFICANT = 2.0
FEWEST_LAGS = 5


def block_length(sums: Floats) -> int:
    """Return the length of a block, for the sums (points,) of the influences of each point's rows, in order of time.

    Twice the automatic length, and at least the square root of the number of points: a weak autocorrelation that lasts
    is not found in few of them.
    """
    points = len(sums)
    shortest = max(LONGER * automatic_length(sums), math.sqrt(points))
    return max(1, min(math.ceil(shortest), points // SHARE))


def automatic_length(values: Floats) -> float:
    """Return the block length that is best for the variance of the mean of `values`, in order; 0 if all are equal.

    D. Politis and H. White, "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23,
    2004, as corrected by A. Patton in volume 28, 2009: that of overlapping blocks of equal length.
    """
    n = len(values)
    lags = max(FEWEST_LAGS, math.ceil(math.sqrt(math.log10(n))))
    most = math.ceil(math.sqrt(n)) + lags
    covariances = _autocovariances(values, min(most, n - 1))
    if covariances[0] <= 0:
        return 0.0
    bound = SIGNIFICANT * math.sqrt(math.log10(n) / n)
    first = _first_uncorrelated(np.abs(covariances[1:] / covariances[0]) >= bound, lags)
    width = min(2 * first, len(covariances) - 1)
    lag = np.arange(1, width + 1)
    weighted = np.minimum(1.0, 2 * (1 - lag / width)) * covariances[1 : width + 1]
    spectrum = float(covariances[0] + 2 * weighted.sum())
    if spectrum <= 0:
        return 0.0
    slope = float(2 * (lag * weighted).sum())
    return min(math.cbrt(1.5 * n * (slope / spectrum) ** 2), 3 * math.sqrt(n), n / 3)


def _autocovariances(values: Floats, most: int) -> Floats:
    """Return the covariances at lags 0 to `most`, over n. By sums alone: a transform's last digit may change."""
    centred = values - values.mean()
    n = len(centred)
    found = [float((centred[: n - lag] * centred[lag:]).sum()) / n for lag in range(most + 1)]
    return np.array(found)


def _first_uncorrelated(significant: NDArray[np.bool_], lags: int) -> int:
    """Return the lag, from 1 on, at which the first `lags` in a row without correlation begin; without such, the last.

    arch 8.0.0 (Python) doubles this lag, and so does this function; the paper doubles the one before it,
    which is 0 where none is correlated.
    """
    for at in range(len(significant) - lags + 1):
        if not significant[at : at + lags].any():
            return at + 1
    return len(significant)


def standard_error(sums: Floats, length: int, n: int) -> float:
    """Return the standard error of the mean influence of n rows, from the sums (points,) of centred influences.

    The variance of moving blocks. Blocks are compared with the mean of the same rows, which costs a share of length /
    points of it.
    """
    points = len(sums)
    totals = np.concatenate([[0.0], np.cumsum(sums)])
    of_blocks = totals[length:] - totals[:-length]
    variance = float((of_blocks**2).mean()) / length * points * points / (points - length)
    return math.sqrt(variance) / n
