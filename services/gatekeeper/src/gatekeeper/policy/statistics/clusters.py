"""Rows of one entity are not independent: standard errors over entities instead of rows (docs/adr/0012).

For a mean, the sandwich of K.-Y. Liang and S. Zeger, "Longitudinal data analysis using generalized linear models",
Biometrika 73, 1986. For a proportion, the design effect of J. Rao and A. Scott, "A simple method for the analysis of
clustered binary data", Biometrics 48, 1992.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatekeeper.policy.statistics.delong import Floats
from gatekeeper.policy.statistics.metrics import Unmeasurable

Codes = NDArray[np.intp]


def codes_of(clusters: NDArray[Any] | None, n: int) -> Codes | None:
    """Return each row's entity, from 0 on without gaps; None if all are distinct, so that rows are independent.

    A negative code is an unknown entity (pandas.factorize has -1 for a missing value): such a row is its own entity.
    """
    if clusters is None:
        return None
    known = np.asarray(clusters)
    if known.shape != (n,):
        raise ValueError(f"{n} rows have entity codes of shape {known.shape}")
    alone = known < 0
    top = int(known.max(initial=0))
    known = np.where(alone, top + 1 + np.cumsum(alone), known)
    found, codes = np.unique(known, return_inverse=True)
    return None if len(found) == n else codes.astype(np.intp)


def standard_error(influence: Floats, codes: Codes | None) -> float:
    """Return the standard error of the mean influence. Raises Unmeasurable with fewer than two units."""
    n = len(influence)
    if codes is None:
        if n < 2:
            raise Unmeasurable(f"{n} rows have no variance")
        return float(np.std(influence, ddof=1)) / math.sqrt(n)
    sums = np.bincount(codes, influence - influence.mean())
    if len(sums) < 2:
        raise Unmeasurable(f"{n} rows of one entity have no variance")
    return math.sqrt(len(sums) / (len(sums) - 1) * float((sums**2).sum())) / n


def design_effect(values: Floats, codes: Codes | None) -> float:
    """Return the variance of the mean relative to that of independent rows: at least 1, as in Rao and Scott.

    Equal values have no variance to compare; then all rows of an entity count as perfectly correlated.
    """
    if codes is None:
        return 1.0
    independent = standard_error(values, None)
    if independent == 0:
        sizes = np.bincount(codes)
        return float((sizes**2).sum() / sizes.sum())
    return max(1.0, (standard_error(values, codes) / independent) ** 2)
