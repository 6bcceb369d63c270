"""Areas under ROC curves of several models on the same rows, and their covariance.

The fast algorithm, O(n log n): X. Sun and W. Xu, "Fast Implementation of DeLong's Algorithm for Comparing the Areas
Under Correlated Receiver Operating Characteristic Curves", IEEE Signal Processing Letters 21(11), 2014.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of the ranks that they take."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2.0)[inverse]
    return shared


def delong(truth: NDArray[Any], *scores: Floats) -> tuple[Floats, Floats]:
    """AUC of each of the k score vectors, shape (k,), and their covariance, shape (k, k).

    `truth` holds 0 and 1. Raises ValueError with fewer than two rows of either class: no variance then.
    """
    positive = np.asarray(truth) == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise ValueError(f"AUC needs two rows of either class; there are {m} positive and {n} negative ones")
    aucs = np.empty(len(scores))
    of_positives, of_negatives = np.empty((len(scores), m)), np.empty((len(scores), n))
    for row, score in enumerate(scores):
        x, y = score[positive], score[~positive]
        together = midranks(np.concatenate([x, y]))
        of_positives[row] = (together[:m] - midranks(x)) / n
        of_negatives[row] = 1.0 - (together[m:] - midranks(y)) / m
        aucs[row] = (together[:m].sum() - m * (m + 1) / 2) / (m * n)  # exact: halves, and one division
    covariance = np.atleast_2d(np.cov(of_positives)) / m + np.atleast_2d(np.cov(of_negatives)) / n
    return aucs, covariance
