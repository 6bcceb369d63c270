"""What counts as one piece of evidence: a row, an entity with its rows, or a block of points in time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatekeeper.policy.statistics import clusters as entities
from gatekeeper.policy.statistics import moving_blocks
from gatekeeper.policy.statistics.clusters import Codes, codes_of
from gatekeeper.policy.statistics.delong import Floats
from gatekeeper.policy.statistics.metrics import Series

FEWEST = 30
"""Entities, or points in time: fewer do not carry a bound."""


@dataclass(frozen=True, eq=False)
class Units:
    """`codes`: each row's entity or, if `by_time`, its point in time, 0, 1, … without gaps; None: each row is one.

    `length`: the points of a block, known once it is known what is estimated. `is_dated`: the rows have an event time.
    """

    n: int
    codes: Codes | None = None
    by_time: bool = False
    is_dated: bool = False
    length: int | None = None

    @property
    def count(self) -> int:
        """Return the number of rows, of entities, or of points in time."""
        return self.n if self.codes is None else int(self.codes.max()) + 1

    @property
    def name(self) -> str:
        return "points in time" if self.by_time else "rows" if self.codes is None else "entities"

    @property
    def alone(self) -> Codes | None:
        """Return codes of units that are independent of each other, for exact bounds: blocks that do not overlap."""
        if self.codes is None or self.length is None:
            return self.codes
        return self.codes // self.length

    @property
    def freedom(self) -> float | None:
        """Return the degrees of freedom of Student's t: blocks that fit side by side, less one; None: normal bounds.

        At most a fiftieth below the critical values of N. Kiefer and T. Vogelsang, "A new asymptotic theory for
        heteroskedasticity-autocorrelation robust tests", Econometric Theory 21, 2005, and above them for long blocks.
        """
        return None if self.length is None else self.count / self.length - 1

    def quantile(self, alpha: float) -> float:
        """Return the number of standard errors between an estimate and its one-sided bound at level 1 - alpha."""
        if self.freedom is None:
            return NormalDist().inv_cdf(1.0 - alpha)
        from scipy.special import stdtrit  # takes time to import: on the first verdict of a series

        return float(stdtrit(self.freedom, 1.0 - alpha))

    def of(self, influence: Floats) -> Units:
        """Return the units for an estimate whose rows have this influence (n,): the length of blocks follows."""
        if self.codes is None or not self.by_time:
            return self
        return replace(self, length=moving_blocks.block_length(self._sums(influence)))

    def standard_error(self, influence: Floats) -> float:
        """Return the standard error of the mean influence. Raises Unmeasurable with fewer than two units."""
        if self.length is None:
            return entities.standard_error(influence, self.codes)
        return moving_blocks.standard_error(self._sums(influence), self.length, self.n)

    def design_effect(self, values: Floats) -> float:
        """Return the variance of the mean relative to that of independent rows: at least 1."""
        if self.length is None:
            return entities.design_effect(values, self.codes)
        independent = entities.standard_error(values, None)
        if independent == 0:
            return entities.design_effect(values, self.alone)
        return max(1.0, (self.standard_error(values) / independent) ** 2)

    @property
    def words(self) -> str | None:
        """Describe the units; None for rows of no known order, and for evidence from before it was looked at."""
        if self.length is not None:
            return f"by moving blocks of {self.length} of {self.count} points in time"
        if not self.is_dated:
            return None
        return "by row" if self.codes is None else f"by entity, {self.count} of them"

    def _sums(self, influence: Floats) -> Floats:
        assert self.codes is not None, "of points in time"
        return np.bincount(self.codes, influence - influence.mean(), minlength=self.count).astype(np.float64)


def units_of(clusters: NDArray[Any] | None, series: Series | None, n: int) -> Units:
    """Return the units of n rows: entities where there are many; else points in time where these are many; else rows.

    `clusters`: each row's entity, if the rows have one. Rows with an entity of their own each are independent.
    """
    codes = codes_of(clusters, n)
    if series is None or series.at is None:
        return Units(n, codes)
    few = clusters is None or (codes is not None and int(codes.max()) + 1 < FEWEST)
    points = _points(series.at)
    if few and int(points.max(initial=-1)) + 1 >= FEWEST:
        return Units(n, points, by_time=True, is_dated=True)
    return Units(n, codes, is_dated=True)


def _points(at: NDArray[np.int64]) -> Codes:
    """Return each row's point in time, in order; a row without a time (negative) is a point by itself, at the end."""
    unknown = at < 0
    times, found = np.unique(at[~unknown], return_inverse=True)
    points = np.empty(len(at), dtype=np.intp)
    points[~unknown] = found
    points[unknown] = len(times) + np.arange(int(unknown.sum()))
    return points


def cumulative(freedom: float | None, distance: float) -> float:
    """Return the probability of a standardised distance at most this large: normal, or Student's t."""
    if freedom is None or not math.isfinite(distance):
        return NormalDist().cdf(distance)
    from scipy.special import stdtr

    return float(stdtr(freedom, distance))
