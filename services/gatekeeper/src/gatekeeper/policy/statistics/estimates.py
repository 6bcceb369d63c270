"""Metrics on golden rows with their standard errors, and paired differences between two models."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.metrics import METRICS
from gatekeeper.policy.statistics import bootstrap, clopper_pearson, metrics, tango
from gatekeeper.policy.statistics.clusters import Codes, codes_of, design_effect, standard_error
from gatekeeper.policy.statistics.delong import Floats, delong
from gatekeeper.policy.statistics.metrics import (
    Predictions,
    Series,
    Unmeasurable,
    direction,
    mean_metric,
    one_score_a_row,
    some,
    trivial,
)

__all__ = [
    "Difference",
    "Estimate",
    "Predictions",
    "Series",
    "Unmeasurable",
    "all_metrics",
    "difference",
    "direction",
    "estimate",
    "p_value",
    "power",
    "rows_for_power",
    "trivial",
    "value",
    "z",
]

POWER_Z = 0.84  # NormalDist().inv_cdf(0.8), as in gates.md


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its standard error and one-sided confidence bounds, each at level 1 - alpha.

    `entities`: number of independent units in the n rows; None: each row is one. `draws` are the bootstrap's.
    """

    value: float
    se: float
    lower: float
    upper: float
    n: int
    method: str
    entities: int | None = None
    draws: Floats | None = field(default=None, repr=False, compare=False)


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


def estimate(
    metric: str,
    truth: NDArray[Any],
    answers: Predictions,
    alpha: float,
    clusters: NDArray[Any] | None = None,
    series: Series | None = None,
) -> Estimate:
    """Estimate the metric of one model. `clusters`: each row's entity, if entities repeat. Raises Unmeasurable."""
    n = some(len(truth))
    codes = codes_of(clusters, n)
    if bootstrap.is_resampled(metric):
        statistic = bootstrap.statistic_of(metric, truth, answers, codes)
        units = _units(codes, n)
        draws = bootstrap.resampled([statistic], units)[0]
        return Estimate(**_from_draws(bootstrap.observed(statistic, units), draws, alpha), **_size(n, codes))
    if metric == "accuracy":
        return _accuracy(truth, answers, alpha, codes)
    if metric == "roc_auc":
        aucs, covariance = _delong(truth, codes, answers)
        auc, se = float(aucs[0]), math.sqrt(max(0.0, float(covariance[0, 0])))
        if auc in (0.0, 1.0):
            slack = _perfect_ranking_slack(truth, alpha, codes)
            lower, upper = (1.0 - slack, 1.0) if auc == 1.0 else (0.0, slack)
            return Estimate(value=auc, se=se, lower=lower, upper=upper, method="exact", **_size(n, codes))
        return Estimate(**_normal(auc, se, alpha, "DeLong"), **_size(n, codes))
    mean, influence = mean_metric(metric, truth, answers, series)
    return Estimate(**_normal(mean, standard_error(influence, codes), alpha, "mean"), **_size(n, codes))


def difference(
    metric: str,
    truth: NDArray[Any],
    first: Predictions,
    second: Predictions,
    alpha: float,
    clusters: NDArray[Any] | None = None,
    series: Series | None = None,
) -> Difference:
    """Estimate the gain of `first` over `second` on the same rows. Raises Unmeasurable.

    AUC by DeLong; accuracy by Tango's score interval and McNemar's exact test; bootstrap.RESAMPLED and a user's
    function by the paired bootstrap; all others by the paired mean. Over entities if they repeat.
    """
    n = some(len(truth))
    codes = codes_of(clusters, n)
    sign = direction(metric)
    if bootstrap.is_resampled(metric):
        both = [bootstrap.statistic_of(metric, truth, answers, codes) for answers in (first, second)]
        units = _units(codes, n)
        a, b = (bootstrap.observed(statistic, units) for statistic in both)
        draws = bootstrap.resampled(both, units)
        found = _from_draws(sign * (a - b), sign * (draws[0] - draws[1]), alpha)
    elif metric == "accuracy":
        return _accuracy_difference(truth, first, second, alpha, codes)
    elif metric == "roc_auc":
        aucs, c = _delong(truth, codes, first, second)
        a, b = float(aucs[0]), float(aucs[1])
        found = _normal(a - b, math.sqrt(max(0.0, float(c[0, 0] + c[1, 1] - 2 * c[0, 1]))), alpha, "DeLong")
        if a == b and a in (0.0, 1.0) and not np.array_equal(first.scores, second.scores):  # type: ignore[arg-type]
            slack = _perfect_ranking_slack(truth, alpha, codes)
            found = {"value": 0.0, "se": slack / z(alpha), "lower": -slack, "upper": slack, "method": "exact"}
    else:
        a, of_a = mean_metric(metric, truth, first, series)
        b, of_b = mean_metric(metric, truth, second, series)
        found = _normal(sign * (a - b), standard_error(of_a - of_b, codes), alpha, "paired mean")
    return Difference(**found, **_size(n, codes), first=a, second=b)


def p_value(found: Difference, against: float) -> float:
    """Return the one-sided p-value: probability of a difference this low if the true one is `against`.

    Below alpha exactly if the upper bound at alpha is below `against`
    (but for ties of the bootstrap's draws, and McNemar's test at zero).
    """
    if found.draws is not None:
        beyond = int((found.draws >= against).sum())
        if beyond >= bootstrap.FEWEST_BEYOND:
            return beyond / len(found.draws)
        return min(bootstrap.FEWEST_BEYOND / len(found.draws), _tail(found, against))
    if found.pairs is not None:
        wins, losses, n = found.pairs
        return NormalDist().cdf(tango.score(wins, losses, n, against))
    return _tail(found, against)


def rows_for_power(n: int, se: float, effect: float, alpha: float) -> int | None:
    """Return the rows needed to detect an effect of this size with power 0.8 (n₈₀ of gates.md); None for no effect."""
    if effect <= 0:
        return None
    return math.ceil(n * ((z(alpha) + POWER_Z) * se / effect) ** 2)


def power(se: float, effect: float, alpha: float) -> float:
    """Return the power to detect an effect of this size at this standard error."""
    return NormalDist().cdf(effect / se - z(alpha)) if se > 0 else float(effect > 0)


def all_metrics(
    problem: str, truth: NDArray[Any], answers: Predictions, series: Series | None = None, also: str | None = None
) -> dict[str, float]:
    """Return all metrics of the problem, and the one named `also`, that are defined for these predictions."""
    found: dict[str, float] = {}
    for metric in {**METRICS, **({also: METRICS[also]} if also else {})}.values():
        if problem in metric.problems:
            try:
                of_it = value(metric.name, truth, answers, series)
            except Unmeasurable:
                continue
            if math.isfinite(of_it):
                found[metric.name] = of_it
    return found


def value(metric: str, truth: NDArray[Any], answers: Predictions, series: Series | None = None) -> float:
    """Return the metric alone, without its costly standard error. Raises Unmeasurable."""
    if metric == "roc_auc":
        return float(_delong(truth, None, answers)[0][0])
    if metric == "accuracy":
        return float(metrics.hits(truth, answers).sum()) / some(len(truth))
    if bootstrap.is_resampled(metric):
        return bootstrap.observed(bootstrap.statistic_of(metric, truth, answers, None), some(len(truth)))
    return mean_metric(metric, truth, answers, series)[0]


def _tail(found: Difference, against: float) -> float:
    if found.se > 0:
        return NormalDist(against, found.se).cdf(found.value)
    return float(found.value >= against)


def _normal(value: float, se: float, alpha: float, method: str) -> dict[str, Any]:
    width = z(alpha) * se
    return {"value": value, "se": se, "lower": value - width, "upper": value + width, "method": method}


def _from_draws(value: float, draws: Floats, alpha: float) -> dict[str, Any]:
    """Return percentile bounds; with too few draws beyond them, normal bounds with the draws' standard error."""
    defined = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(defined) < len(draws) / 2:
        raise Unmeasurable("no golden row is of the class, and none was answered with it")
    se = float(np.std(defined, ddof=1))
    found = _normal(value, se, alpha, "bootstrap") | {"draws": defined}
    if bounds := bootstrap.percentiles(defined, alpha):
        found |= {"lower": bounds[0], "upper": bounds[1]}
    return found


def _delong(truth: NDArray[Any], codes: Codes | None, *answers: Predictions) -> tuple[Floats, Floats]:
    scores = [one_score_a_row("roc_auc", each) for each in answers]
    try:
        return delong(truth, *scores, codes=codes)
    except ValueError as error:
        raise Unmeasurable(str(error)) from error


def _perfect_ranking_slack(truth: NDArray[Any], alpha: float, codes: Codes | None) -> float:
    """Return the distance of the lower bound from 1 for the AUC of a perfect ranking.

    The variance cannot be estimated. But random pairs of rows, one of each class, no entity twice, are independent
    trials, and all succeeded: Clopper–Pearson over those pairs is exact.
    """
    positive = np.asarray(truth) == 1
    each = np.arange(len(truth)) if codes is None else codes
    positives, negatives = np.unique(each[positive]), np.unique(each[~positive])
    pairs = min(len(positives), len(negatives), len(np.union1d(positives, negatives)) // 2)
    return float(1.0 - alpha ** (1.0 / pairs))


def _accuracy(truth: NDArray[Any], answers: Predictions, alpha: float, codes: Codes | None) -> Estimate:
    """Estimate by Clopper–Pearson; for entities, with the effective number of rows, and counts rounded outwards."""
    right = metrics.hits(truth, answers)
    n, hits = len(right), int(right.sum())
    rows = max(1, math.floor(n / design_effect(right.astype(np.float64), codes)))
    return Estimate(
        value=hits / n,
        se=math.sqrt(hits / n * (1 - hits / n) / rows),
        lower=clopper_pearson.lower_bound(hits * rows // n, rows, alpha),
        upper=clopper_pearson.upper_bound(-(-hits * rows // n), rows, alpha),
        method="Clopper–Pearson",
        **_size(n, codes),
    )


def _accuracy_difference(
    truth: NDArray[Any], first: Predictions, second: Predictions, alpha: float, codes: Codes | None
) -> Difference:
    """Estimate with Tango's score bounds; above (below) zero only if McNemar's exact test also rejects.

    For entities, wins, losses and rows are divided by the design effect of the paired difference.
    """
    right, other = metrics.hits(truth, first), metrics.hits(truth, second)
    n = len(right)
    effect = design_effect(right.astype(np.float64) - other, codes)
    only_first, only_second = int((right & ~other).sum()), int((~right & other).sum())
    wins, losses = only_first / effect, only_second / effect
    lower, upper = tango.bounds(wins, losses, n / effect, z(alpha))
    if lower > 0 and _mcnemar(wins, losses) >= alpha:
        lower = 0.0
    if upper < 0 and _mcnemar(losses, wins) >= alpha:
        upper = 0.0
    return Difference(
        value=(only_first - only_second) / n,
        se=(upper - lower) / (2 * z(alpha)),  # not the sample's, which is zero if no row is discordant
        lower=lower,
        upper=upper,
        method="Tango",
        first=float(right.mean()),
        second=float(other.mean()),
        pairs=(wins, losses, n / effect),
        **_size(n, codes),
    )


def _mcnemar(wins: float, losses: float) -> float:
    """Return McNemar's exact p-value; fractional counts from a design effect are rounded conservatively."""
    whole = math.floor(wins)
    return clopper_pearson.at_least(whole, whole + math.ceil(losses), 0.5)


def _units(codes: Codes | None, n: int) -> int:
    return n if codes is None else int(codes.max()) + 1


def _size(n: int, codes: Codes | None) -> dict[str, Any]:
    return {"n": n, "entities": None if codes is None else _units(codes, n)}
