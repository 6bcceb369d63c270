"""Metrics on golden rows with their standard errors, and paired differences between two models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.policy import METRICS
from gatekeeper.policy import binomial, paired
from gatekeeper.policy.delong import Floats, delong

POWER_Z = 0.84  # NormalDist().inv_cdf(0.8), as gates.md writes it
SMALLEST_PROBABILITY = 1e-15  # log loss of a certain and wrong answer is large, not infinite


class Unmeasurable(ValueError):
    """The metric is not defined on this data; the text says why."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model said of n rows.

    Classification: `labels` are class numbers (0, 1, …; -1 for an unknown class), `scores` the probability of class 1
    (n,) or of each class (n, k). Regression: `labels` are the predicted numbers and there are no scores.
    """

    labels: NDArray[Any]
    scores: Floats | None = None


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and one-sided confidence bounds, each at level 1 - alpha."""

    value: float
    se: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True)
class Difference(Estimate):
    """How much better the first model is than the second; above zero is better, whatever the metric's direction."""

    first: float
    second: float


def z(alpha: float) -> float:
    return NormalDist().inv_cdf(1.0 - alpha)


def direction(metric: str) -> int:
    """+1 when greater is better, -1 when smaller is."""
    return 1 if METRICS[metric].greater_is_better else -1


def estimate(metric: str, truth: NDArray[Any], answers: Answers, alpha: float) -> Estimate:
    """The metric of one model. Raises Unmeasurable."""
    n = len(truth)
    if metric == "roc_auc":
        aucs, covariance = _delong(truth, _scores(answers))
        value, se = float(aucs[0]), math.sqrt(max(0.0, float(covariance[0, 0])))
        if value in (0.0, 1.0):
            slack = _perfect_ranking_slack(truth, alpha)
            lower, upper = (1.0 - slack, 1.0) if value == 1.0 else (0.0, slack)
            return Estimate(value, se, lower, upper, n)
    elif metric == "accuracy":
        hits = int((_finite(answers.labels) == truth).sum())
        value, se = hits / _some(n), math.sqrt(hits / n * (1 - hits / n) / n)
        return Estimate(
            value,
            se,
            binomial.lower_bound(hits, n, alpha),
            binomial.upper_bound(hits, n, alpha),
            n,
        )
    else:
        value, influence = _mean_metric(metric, truth, answers)
        se = _standard_error(influence)
    return Estimate(value, se, value - z(alpha) * se, value + z(alpha) * se, n)


def difference(metric: str, truth: NDArray[Any], first: Answers, second: Answers, alpha: float) -> Difference:
    """How much better `first` is than `second` on the same rows. Raises Unmeasurable.

    AUC by DeLong; accuracy by Tango's score interval and McNemar's exact test; everything else by the paired mean.
    """
    n = len(truth)
    if metric == "roc_auc":
        aucs, c = _delong(truth, _scores(first), _scores(second))
        a, b = float(aucs[0]), float(aucs[1])
        delta, se = a - b, math.sqrt(max(0.0, float(c[0, 0] + c[1, 1] - 2 * c[0, 1])))
        if a == b and a in (0.0, 1.0) and not np.array_equal(_scores(first), _scores(second)):
            slack = _perfect_ranking_slack(truth, alpha)
            return Difference(delta, slack / z(alpha), -slack, slack, n, first=a, second=b)
    elif metric == "accuracy":
        return _accuracy_difference(truth, first, second, alpha)
    else:
        a, of_a = _mean_metric(metric, truth, first)
        b, of_b = _mean_metric(metric, truth, second)
        sign = direction(metric)
        delta, se = sign * (a - b), _standard_error(of_a - of_b)
    return Difference(delta, se, delta - z(alpha) * se, delta + z(alpha) * se, n, first=a, second=b)


def trivial(metric: str, truth: NDArray[Any]) -> float:
    """The metric of the best constant answer on these rows: what a model must beat to know anything."""
    _some(len(truth))
    if metric == "roc_auc":
        return 0.5
    if metric == "mae":
        return float(np.abs(truth - np.median(truth)).mean())
    if metric == "rmse":
        return float(np.std(truth))
    _, counts = np.unique(truth, return_counts=True)
    shares = counts / counts.sum()
    if metric == "accuracy":
        return float(shares.max())
    if metric == "log_loss":
        return float(-(shares * np.log(shares)).sum())
    if metric == "brier":
        rate = float((truth == 1).mean())
        return rate * (1 - rate)
    raise Unmeasurable(f"unknown metric {metric!r}")


def rows_for_power(n: int, se: float, effect: float, alpha: float) -> int | None:
    """Rows at which an effect of this size is seen four times in five (n₈₀ of gates.md); None for no effect."""
    if effect <= 0:
        return None
    return math.ceil(n * ((z(alpha) + POWER_Z) * se / effect) ** 2)


def all_metrics(problem: str, truth: NDArray[Any], answers: Answers) -> dict[str, float]:
    """Every metric that this problem has and these answers allow."""
    found: dict[str, float] = {}
    for metric in METRICS.values():
        if problem in metric.problems:
            try:
                value = estimate(metric.name, truth, answers, alpha=0.05).value
            except Unmeasurable:
                continue
            if math.isfinite(value):
                found[metric.name] = value
    return found


def _delong(truth: NDArray[Any], *scores: Floats) -> tuple[Floats, Floats]:
    if any(score.ndim != 1 for score in scores):
        raise Unmeasurable("roc_auc needs one score a row")
    try:
        return delong(truth, *scores)
    except ValueError as error:
        raise Unmeasurable(str(error)) from error


def _perfect_ranking_slack(truth: NDArray[Any], alpha: float) -> float:
    """How far below 1 the AUC of a model that ranks all rows perfectly may be.

    There is no variance to estimate it from. But rows paired off at random, one of each class, are independent trials,
    and all succeeded: Clopper–Pearson over those pairs is exact.
    """
    pairs = min(int((truth == 1).sum()), int((truth == 0).sum()))
    return float(1.0 - alpha ** (1.0 / pairs))


def _accuracy_difference(truth: NDArray[Any], first: Answers, second: Answers, alpha: float) -> Difference:
    """Tango's score bounds; above (below) zero only when McNemar's exact test says so as well."""
    n = _some(len(truth))
    right, other = _finite(first.labels) == truth, _finite(second.labels) == truth
    wins, losses = int((right & ~other).sum()), int((~right & other).sum())
    lower, upper = paired.bounds(wins, losses, n, z(alpha))
    if lower > 0 and binomial.at_least(wins, wins + losses, 0.5) >= alpha:
        lower = 0.0
    if upper < 0 and binomial.at_least(losses, wins + losses, 0.5) >= alpha:
        upper = 0.0
    value = (wins - losses) / n
    # Not the sample's standard error, which is zero when no row is discordant.
    se = (upper - lower) / (2 * z(alpha))
    return Difference(value, se, lower, upper, n, first=float(right.mean()), second=float(other.mean()))


def _mean_metric(metric: str, truth: NDArray[Any], answers: Answers) -> tuple[float, Floats]:
    """The value and each row's influence on it: the value's variance is that of the influences, over n."""
    measure = _LOSSES.get(metric)
    if measure is None:
        raise Unmeasurable(f"unknown metric {metric!r}")
    _some(len(truth))
    losses = measure(truth, answers)
    if metric != "rmse":
        return float(losses.mean()), losses
    value = math.sqrt(float(losses.mean()))
    # Delta method: d√m = dm / 2√m.
    return value, losses / (2 * value) if value > 0 else np.zeros_like(losses)


def _log_losses(truth: NDArray[Any], answers: Answers) -> Floats:
    scores = _scores(answers)
    if scores.ndim == 1:
        of_truth = np.where(truth == 1, scores, 1 - scores)
    else:
        if truth.min() < 0 or truth.max() >= scores.shape[1]:
            raise Unmeasurable(f"the golden rows hold classes that the model's {scores.shape[1]} scores do not name")
        of_truth = scores[np.arange(len(truth)), truth.astype(int)]
    losses: Floats = -np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0))
    return losses


def _brier_losses(truth: NDArray[Any], answers: Answers) -> Floats:
    scores = _scores(answers)
    if scores.ndim != 1:
        raise Unmeasurable("brier needs one score a row")
    losses: Floats = (scores - (truth == 1)) ** 2
    return losses


def _absolute_errors(truth: NDArray[Any], answers: Answers) -> Floats:
    errors: Floats = np.abs(_finite(answers.labels) - truth)
    return errors


def _squared_errors(truth: NDArray[Any], answers: Answers) -> Floats:
    errors: Floats = (_finite(answers.labels) - truth) ** 2
    return errors


_LOSSES: dict[str, Callable[[NDArray[Any], Answers], Floats]] = {
    "log_loss": _log_losses,
    "brier": _brier_losses,
    "mae": _absolute_errors,
    "rmse": _squared_errors,
}


def _standard_error(influence: Floats) -> float:
    if len(influence) < 2:
        raise Unmeasurable(f"{len(influence)} rows have no variance")
    return float(np.std(influence, ddof=1)) / math.sqrt(len(influence))


def _scores(answers: Answers) -> Floats:
    if answers.scores is None:
        raise Unmeasurable("the model answers with labels only; this metric needs probabilities")
    return _finite(answers.scores)


def _finite(values: NDArray[Any]) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise Unmeasurable("the answers hold NaN or infinity")
    return numbers


def _some(n: int) -> int:
    if n == 0:
        raise Unmeasurable("there are no golden rows")
    return n
