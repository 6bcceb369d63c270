"""Areas under ROC curves of several models on the same rows, and their covariance.

The fast algorithm, O(n log n): X. Sun and W. Xu, "Fast Implementation of DeLong's Algorithm for Comparing the Areas
Under Correlated Receiver Operating Characteristic Curves", IEEE Signal Processing Letters 21(11), 2014.
Where rows of one entity repeat: N. Obuchowski, "Nonparametric Analysis of Clustered ROC Curve Data", Biometrics 53,
1997.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def midranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2.0)[inverse]
    return shared


def delong(truth: NDArray[Any], *scores: Floats, codes: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Return the AUC of each of the k score vectors, shape (k,), and their covariance, shape (k, k).

    `truth` holds 0 and 1; `codes` each row's entity, 0, 1, … without gaps (None: rows are independent).
    Raises ValueError with fewer than two rows, or entities, of either class: the variance is undefined.
    """
    positive, aucs, of_positives, of_negatives = _placements(truth, scores)
    (_, m), (_, n) = of_positives.shape, of_negatives.shape
    if codes is not None:
        places = of_positives - aucs[:, None], of_negatives - aucs[:, None]
        return aucs, _over_entities(*places, codes[positive], codes[~positive], int(codes.max()) + 1)
    covariance = np.atleast_2d(np.cov(of_positives)) / m + np.atleast_2d(np.cov(of_negatives)) / n
    return aucs, covariance


def influences(truth: NDArray[Any], *scores: Floats) -> tuple[Floats, Floats]:
    """Return the AUC of each of the k score vectors, shape (k,), and each row's influence on it, shape (k, rows).

    As for a mean: the variance of an AUC is that of the mean of its influences. Raises ValueError as `delong`.
    """
    positive, aucs, of_positives, of_negatives = _placements(truth, scores)
    (k, m), (_, n) = of_positives.shape, of_negatives.shape
    found = np.empty((k, m + n))
    found[:, positive] = (of_positives - aucs[:, None]) * ((m + n) / m)
    found[:, ~positive] = (of_negatives - aucs[:, None]) * ((m + n) / n)
    return aucs, found


def _placements(truth: NDArray[Any], scores: Sequence[Floats]) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Return which rows are positive, the AUCs (k,), and the share of the other class that each row is right about."""
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
    return positive, aucs, of_positives, of_negatives


def _over_entities(
    of_positives: Floats, of_negatives: Floats, positives: NDArray[np.intp], negatives: NDArray[np.intp], count: int
) -> Floats:
    """Return Obuchowski's covariance: the placements, minus the AUC, are first summed within each entity."""
    (_, m), (_, n) = of_positives.shape, of_negatives.shape
    with_positives, with_negatives = len(np.unique(positives)), len(np.unique(negatives))
    if with_positives < 2 or with_negatives < 2:
        raise ValueError(
            f"AUC needs two entities of either class; {with_positives} have positive, {with_negatives} negative rows"
        )
    a = np.array([np.bincount(positives, row, minlength=count) for row in of_positives]) / m
    b = np.array([np.bincount(negatives, row, minlength=count) for row in of_negatives]) / n
    both: Floats = (
        with_positives / (with_positives - 1) * (a @ a.T)
        + with_negatives / (with_negatives - 1) * (b @ b.T)
        + count / (count - 1) * (a @ b.T + b @ a.T)
    )
    return both
