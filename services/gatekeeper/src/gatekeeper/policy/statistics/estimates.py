"""Metrics on golden rows with their standard errors, and paired differences between two models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.metrics import METRICS
from gatekeeper.policy.statistics import bootstrap, clopper_pearson, metrics, tango
from gatekeeper.policy.statistics.bounds import (
    Difference,
    Estimate,
    of_draws,
    of_normal,
    p_value,
    power,
    rows_for_power,
    z,
)
from gatekeeper.policy.statistics.delong import Floats, delong, influences
from gatekeeper.policy.statistics.metrics import (
    Predictions,
    Series,
    Unmeasurable,
    direction,
    finite,
    mean_metric,
    one_score_a_row,
    some,
    trivial,
)
from gatekeeper.policy.statistics.units import Units, units_of

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


def estimate(
    metric: str,
    truth: NDArray[Any],
    answers: Predictions,
    alpha: float,
    clusters: NDArray[Any] | None = None,
    series: Series | None = None,
) -> Estimate:
    """Estimate the metric of one model. `clusters`: each row's entity; `series`: their order. Raises Unmeasurable."""
    n = some(len(truth))
    units = units_of(clusters, series, n)
    if bootstrap.is_resampled(metric):
        statistic = bootstrap.statistic_of(metric, truth, answers, units.codes)
        units = units.of(_errors(truth, answers)) if units.by_time else units
        draws = bootstrap.resampled([statistic], units.count, length=units.length)[0]
        value = bootstrap.observed(statistic, units.count)
        return Estimate(**of_draws(value, draws, alpha, units), n=n, units=units)
    if metric == "accuracy":
        return _accuracy(truth, answers, alpha, units)
    if metric == "roc_auc":
        aucs, se, units = _delong(truth, units, answers)
        auc = float(aucs[0])
        if auc in (0.0, 1.0):
            slack = _perfect_ranking_slack(truth, alpha, units)
            lower, upper = (1.0 - slack, 1.0) if auc == 1.0 else (0.0, slack)
            return Estimate(value=auc, se=se, lower=lower, upper=upper, method="exact", n=n, units=units)
        return Estimate(**of_normal(auc, se, alpha, "DeLong", units), n=n, units=units)
    mean, influence = mean_metric(metric, truth, answers, series)
    units = units.of(influence)
    return Estimate(**of_normal(mean, units.standard_error(influence), alpha, "mean", units), n=n, units=units)


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
    function by the paired bootstrap; all others by the paired mean. Over entities or blocks of time: `units_of`.
    """
    n = some(len(truth))
    units = units_of(clusters, series, n)
    sign = direction(metric)
    if bootstrap.is_resampled(metric):
        both = [bootstrap.statistic_of(metric, truth, answers, units.codes) for answers in (first, second)]
        units = units.of(_errors(truth, first) - _errors(truth, second)) if units.by_time else units
        a, b = (bootstrap.observed(statistic, units.count) for statistic in both)
        draws = bootstrap.resampled(both, units.count, length=units.length)
        found = of_draws(sign * (a - b), sign * (draws[0] - draws[1]), alpha, units)
    elif metric == "accuracy":
        return _accuracy_difference(truth, first, second, alpha, units)
    elif metric == "roc_auc":
        aucs, se, units = _delong(truth, units, first, second)
        a, b = float(aucs[0]), float(aucs[1])
        found = of_normal(a - b, se, alpha, "DeLong", units)
        if a == b and a in (0.0, 1.0) and not np.array_equal(first.scores, second.scores):  # type: ignore[arg-type]
            slack = _perfect_ranking_slack(truth, alpha, units)
            found = {"value": 0.0, "se": slack / z(alpha), "lower": -slack, "upper": slack, "method": "exact"}
    else:
        a, of_a = mean_metric(metric, truth, first, series)
        b, of_b = mean_metric(metric, truth, second, series)
        units = units.of(of_a - of_b)
        found = of_normal(sign * (a - b), units.standard_error(of_a - of_b), alpha, "paired mean", units)
    return Difference(**found, n=n, units=units, first=a, second=b)


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
        return float(_delong(truth, Units(len(truth)), answers)[0][0])
    if metric == "accuracy":
        return float(metrics.hits(truth, answers).sum()) / some(len(truth))
    if bootstrap.is_resampled(metric):
        return bootstrap.observed(bootstrap.statistic_of(metric, truth, answers, None), some(len(truth)))
    return mean_metric(metric, truth, answers, series)[0]


def _delong(truth: NDArray[Any], units: Units, *answers: Predictions) -> tuple[Floats, float, Units]:
    """Return the AUC of each model, and the standard error of the only one or of the first less the second."""
    scores = [one_score_a_row("roc_auc", each) for each in answers]
    try:
        if units.by_time:
            aucs, of_rows = influences(truth, *scores)
            influence = of_rows[0] if len(scores) == 1 else of_rows[0] - of_rows[1]
            units = units.of(influence)
            return aucs, units.standard_error(influence), units
        aucs, c = delong(truth, *scores, codes=units.codes)
    except ValueError as error:
        raise Unmeasurable(str(error)) from error
    variance = float(c[0, 0]) if len(scores) == 1 else float(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    return aucs, math.sqrt(max(0.0, variance)), units


def _errors(truth: NDArray[Any], answers: Predictions) -> Floats:
    """Return the error of each row (n,), whose order in time shows the dependence that a metric of no mean has."""
    found: Floats
    if answers.scores is not None and answers.scores.ndim == 1:
        found = np.abs(finite(answers.scores) - truth)
    elif np.issubdtype(truth.dtype, np.integer):
        found = (~metrics.hits(truth, answers)).astype(np.float64)
    else:
        found = np.abs(finite(answers.labels) - truth)
    return found


def _perfect_ranking_slack(truth: NDArray[Any], alpha: float, units: Units) -> float:
    """Return the distance of the lower bound from 1 for the AUC of a perfect ranking.

    The variance cannot be estimated. But random pairs of rows, one of each class, no entity twice, are independent
    trials, and all succeeded: Clopper–Pearson over those pairs is exact.
    """
    positive = np.asarray(truth) == 1
    each = np.arange(len(truth)) if units.alone is None else units.alone
    positives, negatives = np.unique(each[positive]), np.unique(each[~positive])
    pairs = min(len(positives), len(negatives), len(np.union1d(positives, negatives)) // 2)
    return float(1.0 - alpha ** (1.0 / pairs))


def _accuracy(truth: NDArray[Any], answers: Predictions, alpha: float, units: Units) -> Estimate:
    """Estimate by Clopper–Pearson; of entities or blocks, with the effective number of rows, rounded outwards."""
    right = metrics.hits(truth, answers)
    n, hits = len(right), int(right.sum())
    units = units.of(right.astype(np.float64))
    effect = units.design_effect(right.astype(np.float64)) * (units.quantile(alpha) / z(alpha)) ** 2
    rows = max(1, math.floor(n / effect))
    return Estimate(
        value=hits / n,
        se=math.sqrt(hits / n * (1 - hits / n) / rows),
        lower=clopper_pearson.lower_bound(hits * rows // n, rows, alpha),
        upper=clopper_pearson.upper_bound(-(-hits * rows // n), rows, alpha),
        method="Clopper–Pearson",
        n=n,
        units=units,
    )


def _accuracy_difference(
    truth: NDArray[Any], first: Predictions, second: Predictions, alpha: float, units: Units
) -> Difference:
    """Estimate with Tango's score bounds; above (below) zero only if McNemar's exact test also rejects.

    Of entities or blocks, wins, losses and rows are divided by the design effect of the paired difference.
    """
    right, other = metrics.hits(truth, first), metrics.hits(truth, second)
    n = len(right)
    units = units.of(right.astype(np.float64) - other)
    effect, width = units.design_effect(right.astype(np.float64) - other), units.quantile(alpha)
    only_first, only_second = int((right & ~other).sum()), int((~right & other).sum())
    wins, losses = only_first / effect, only_second / effect
    lower, upper = tango.bounds(wins, losses, n / effect, width)
    if lower > 0 and _mcnemar(wins, losses) >= alpha:
        lower = 0.0
    if upper < 0 and _mcnemar(losses, wins) >= alpha:
        upper = 0.0
    return Difference(
        value=(only_first - only_second) / n,
        se=(upper - lower) / (2 * width),  # not the sample's, which is zero if no row is discordant
        lower=lower,
        upper=upper,
        method="Tango",
        first=float(right.mean()),
        second=float(other.mean()),
        pairs=(wins, losses, n / effect),
        n=n,
        units=units,
    )


def _mcnemar(wins: float, losses: float) -> float:
    """Return McNemar's exact p-value; fractional counts from a design effect are rounded conservatively."""
    whole = math.floor(wins)
    return clopper_pearson.at_least(whole, whole + math.ceil(losses), 0.5)
