"""Estimates with their confidence bounds, and what follows from them: p-values, power, rows that are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from gatekeeper.policy.statistics import bootstrap, tango
from gatekeeper.policy.statistics.delong import Floats
from gatekeeper.policy.statistics.metrics import Unmeasurable
from gatekeeper.policy.statistics.units import Units, cumulative

POWER_Z = 0.84  # NormalDist().inv_cdf(0.8), as in gates.md


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its standard error and one-sided confidence bounds, each at level 1 - alpha.

    `units`: what counts as one piece of evidence. `draws` are the bootstrap's.
    """

    value: float
    se: float
    lower: float
    upper: float
    n: int
    method: str
    units: Units = field(repr=False, compare=False)
    draws: Floats | None = field(default=None, repr=False, compare=False)

    @property
    def entities(self) -> int | None:
        """Return the number of entities that the n rows are of; None where they do not count."""
        return None if self.units.codes is None or self.units.by_time else self.units.count


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """Gain of the first model over the second; positive is better, regardless of the metric's direction.

    `pairs`, for proportions: rows that only the first predicts correctly, that only the second does, and all.
    """

    first: float
    second: float
    pairs: tuple[float, float, float] | None = None


def z(alpha: float) -> float:
    return NormalDist().inv_cdf(1.0 - alpha)


def of_normal(value: float, se: float, alpha: float, method: str, units: Units) -> dict[str, Any]:
    """Return the parts of an estimate: normal bounds, or Student's where the variance is that of blocks."""
    width = units.quantile(alpha) * se
    return {"value": value, "se": se, "lower": value - width, "upper": value + width, "method": method}


def of_draws(value: float, draws: Floats, alpha: float, units: Units) -> dict[str, Any]:
    """Return percentile bounds; with too few draws beyond them, normal bounds with the draws' standard error.

    Of blocks, the draws are moved to the value, from which they differ by the points at both ends, which few blocks
    hold; and the percentiles are those that Student's t has (T. Hesterberg, "What teachers should know about the
    bootstrap", The American Statistician 69, 2015: expanded percentiles).
    """
    defined = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(defined) < len(draws) / 2:
        raise Unmeasurable("no golden row is of the class, and none was answered with it")
    level = alpha
    if units.length is not None:
        defined = value + (defined - defined.mean()) * math.sqrt(units.count / (units.count - units.length))
        level = NormalDist().cdf(-units.quantile(alpha))
    se = float(np.std(defined, ddof=1))
    found = of_normal(value, se, alpha, "bootstrap", units) | {"draws": defined}
    if limits := bootstrap.percentiles(defined, level):
        found |= {"lower": limits[0], "upper": limits[1]}
    return found


def p_value(found: Difference, against: float) -> float:
    """Return the one-sided p-value: probability of a difference this low if the true one is `against`.

    Below alpha exactly if the upper bound at alpha is below `against`
    (but for ties of the bootstrap's draws, and McNemar's test at zero).
    """
    freedom = found.units.freedom
    if found.draws is not None:
        beyond = int((found.draws >= against).sum())
        if beyond < bootstrap.FEWEST_BEYOND:
            return min(bootstrap.FEWEST_BEYOND / len(found.draws), _tail(found, against))
        share = beyond / len(found.draws)
        if freedom is None or beyond == len(found.draws):
            return share
        return cumulative(freedom, NormalDist().inv_cdf(share))
    if found.pairs is not None:
        wins, losses, n = found.pairs
        return cumulative(freedom, tango.score(wins, losses, n, against))
    return _tail(found, against)


def rows_for_power(n: int, se: float, effect: float, alpha: float) -> int | None:
    """Return the rows needed to detect an effect of this size with power 0.8 (n₈₀ of gates.md); None for no effect."""
    if effect <= 0:
        return None
    return math.ceil(n * ((z(alpha) + POWER_Z) * se / effect) ** 2)


def power(se: float, effect: float, alpha: float) -> float:
    """Return the power to detect an effect of this size at this standard error."""
    return NormalDist().cdf(effect / se - z(alpha)) if se > 0 else float(effect > 0)


def _tail(found: Difference, against: float) -> float:
    if found.se <= 0:
        return float(found.value >= against)
    if found.units.freedom is None:
        return NormalDist(against, found.se).cdf(found.value)
    return cumulative(found.units.freedom, (found.value - against) / found.se)
