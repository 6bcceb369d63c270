"""Which looks at a rollout are made, so that all others cannot decide: vectorised formulas of the product's tests."""

from __future__ import annotations

import math

import numpy as np
from benchmarks.rollout_streams import Flags, Floats, Stream, cumulated
from scipy.special import betaln

from contracts import Loss, Mode, Stage
from contracts.losses import LossKind
from gatekeeper.policy.rollout import Step
from gatekeeper.policy.statistics import anytime

EVERY = 1000
NEAR = 0.1
"""Looks are made where a bound of log E is at most this far from deciding."""
UNITS_PER_SECOND = 20


def looks(step: Step, units: Stream, begin: int, loss: Loss | None, agreed: Floats | None) -> list[tuple[int, bool]]:
    """Return the numbers of units after which a look is made, and whether it is only a check."""
    n = units.loss.shape[1] - begin
    champion, tried = ({name: sums[begin:] - sums[begin] for name, sums in arm.items()} for arm in units.totals)
    judged = champion if step.stage is Stage.WATCH else tried
    wanted = np.concatenate([[False], np.diff(judged["errors"]) > 0]) | _near(step, units, begin, loss, agreed)
    for count in (champion["units"], tried["units"], np.arange(n + 1)):
        for bound in (step.minimum, step.maximum or n):
            wanted[min(n, int(np.searchsorted(count, bound)))] = True
    wanted[min(n, int(step.duration.total_seconds() * UNITS_PER_SECOND))] = wanted[-1] = True
    checks = np.zeros(len(wanted), dtype=bool)
    checks[EVERY::EVERY] = True
    found = np.flatnonzero(wanted | checks)
    return [(int(begin + look), not wanted[look]) for look in found if look > 0]


def _near(step: Step, units: Stream, begin: int, loss: Loss | None, agreed: Floats | None) -> Flags:
    """Return after which units a test of the metric, of agreement, of latency or of the ratio may be near deciding."""
    n = units.loss.shape[1] - begin + 1
    near = np.zeros(n, dtype=bool)
    count = np.arange(n)
    if "metric" in step.on and loss is not None and step.mode is Mode.SHADOW:
        if loss.kind is LossKind.ZERO_ONE:
            wins, losses = units.pairs["wins"], units.pairs["losses"]
            moved = np.flatnonzero(np.diff(wins + losses, prepend=0))
            for one, other in ((wins[moved], losses[moved]), (losses[moved], wins[moved])):
                near[moved] |= paired(one, other, anytime.BETTER) > -math.log(step.alpha) - NEAR
                near[moved] |= paired(one, other, anytime.WORSE) > -math.log(step.alpha_harm) - NEAR
        else:
            for each, alpha in zip(units.wealth, (step.alpha, step.alpha_harm), strict=True):
                near |= np.logaddexp.reduce(each, axis=0) - math.log(len(each)) > -math.log(alpha) - NEAR
    if "metric" in step.on and step.mode is Mode.SPLIT:
        z = z_of_arms(units, begin)
        near |= z > 0.97 * boundary(units, begin, step.alpha)
        near |= z < -0.97 * boundary(units, begin, step.alpha_harm)
    if agreed is not None:
        k = agreed[begin:] - agreed[begin]
        near |= above(k, count, step.agreement) > -math.log(step.alpha) - NEAR
        near |= above(count - k, count, 1 - step.agreement) > -math.log(step.alpha_harm) - NEAR
    if step.mode is Mode.SPLIT:
        k = units.totals[1]["units"][begin:] - units.totals[1]["units"][begin]
        a, b = 100 * step.share, 100 * (1 - step.share)
        log_e = betaln(a + k, b + count - k) - betaln(a, b)
        near |= log_e - k * math.log(step.share) - (count - k) * math.log1p(-step.share) > math.log(1000) - NEAR
    if "latency" in step.on:
        of_champion = units.bucket[0]
        slow = units.seen(1) & (units.bucket[1] > np.quantile(of_champion, 0.95) + math.log2(1.5) * 4 - 2)
        k, total = cumulated(slow[begin:]), cumulated(units.seen(1)[begin:])
        near |= above(k, total, 0.05) > -math.log(step.alpha_harm) - 1.0  # at any unit: the champion's p95 moves too
    return near


def boundary(units: Stream, begin: int, alpha: float) -> Floats:
    """Return `anytime.boundary` after each unit."""
    champion, tried = (np.maximum(1, arm["units"][begin:] - arm["units"][begin]) for arm in units.totals)
    t = 4 * champion * tried / (champion + tried)
    log = -2 * math.log(2 * alpha)
    v = t * (log + math.log1p(log)) / anytime.TUNED_AT
    found: Floats = np.sqrt(2 * (v + 1) / v * np.log1p(np.sqrt(v + 1) / (2 * alpha)))
    return found


def z_of_arms(units: Stream, begin: int = 0) -> Floats:
    """Return the standardised difference of the arms' mean losses after each unit; 0 before both have 100."""
    means, errors, enough = [], [], []
    for sums in units.totals:
        n = np.maximum(1, sums["units"][begin:] - sums["units"][begin])
        mean = (sums["loss"][begin:] - sums["loss"][begin]) / n
        variance = np.maximum(1e-12, (sums["loss2"][begin:] - sums["loss2"][begin]) / n - mean**2)
        means.append(mean)
        errors.append(variance / n)
        enough.append(n >= 100)
    z = (means[0] - means[1]) / np.sqrt(errors[0] + errors[1])
    return np.where(enough[0] & enough[1], z, 0.0)


def paired(wins: Floats, losses: Floats, a: float) -> Floats:
    """Return an upper bound of `anytime.paired`: that P(Beta > ½) is 1 where there are more wins, 0 elsewhere."""
    odds = (wins + losses + 1) * math.log(2) + betaln(a + wins, a + losses) - betaln(a, a)
    return np.where(wins > losses, odds, -math.inf)


def above(k: Floats, n: Floats, rate: float) -> Floats:
    """Return an upper bound of `anytime.above`, likewise."""
    odds = betaln(k + 1, n - k + 1) - math.log1p(-rate) - k * math.log(rate) - (n - k) * math.log1p(-rate)
    return np.where(k > n * rate, odds, -math.inf)
