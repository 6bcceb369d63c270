"""How many units a test of a rollout needs until it decides, at a given difference: closed forms.

The tests are those of the gatekeeper, which hold however often one looks (`policy.statistics.anytime`). Each formula
returns the number of units at which the evidence reaches its bound at a quantile of what may come; evidence that was
there before and fell again is not counted, so the true numbers are a little smaller
(tests/unit/gauntlet/test_rollout_power.py simulates them). Before a rollout, the differences are those of ordinary
models; while it runs, those that were observed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from contracts.rollouts import BETS

OF_GAIN, OF_HARM = 20.0, 3.0
"""a of the Beta prior of the share of discordant pairs that only the better version predicts correctly."""
TUNED_AT = 2_500
"""Units at which a confidence sequence of two arms is the narrowest."""
MOST = 1 << 34
"""More than anybody waits for."""
NORMAL = NormalDist()


def discordant(disagree: float, effect: float, alpha: float, quantile: float) -> int:
    """Units until a Beta mixture over the discordant pairs reaches 1/α: right/wrong, without a margin."""
    p, prior = (disagree + abs(effect)) / (2 * disagree), OF_GAIN if effect > 0 else OF_HARM
    z = NORMAL.inv_cdf(quantile)
    if p >= 1:
        p = 1 - 1e-9

    def reached(pairs: int) -> bool:
        wins = pairs * p - z * math.sqrt(pairs * p * (1 - p))
        return discordant_evidence(pairs, wins, prior) >= math.log(1 / alpha)

    return math.ceil(_first(reached) / disagree)


def agreeing(true: float, bound: float, alpha: float, quantile: float) -> int:
    """Rows until a mixture over all larger shares shows that more than `bound` of them agree, where `true` do."""
    z = NORMAL.inv_cdf(quantile)

    def reached(rows: int) -> bool:
        agreed = rows * true - z * math.sqrt(rows * true * (1 - true))
        rest = rows - agreed
        mixed = _log_beta(agreed + 1, rest + 1) + _log_above(bound, agreed + 1, rest + 1) - math.log(1 - bound)
        return mixed - agreed * math.log(bound) - rest * math.log(1 - bound) >= math.log(1 / alpha)

    return _first(reached)


def discordant_evidence(pairs: int, wins: float, prior: float) -> float:
    """log(2ⁿ · B(a+w, a+l)/B(a, a) · 2·P(Beta(a+w, a+l) > ½))."""
    x, y = prior + wins, prior + pairs - wins
    return pairs * math.log(2) + _log_beta(x, y) - _log_beta(prior, prior) + math.log(2) + _log_above(0.5, x, y)


def _log_above(least: float, x: float, y: float) -> float:
    """log P(Beta(x, y) > least), by the normal distribution."""
    if x <= 0 or y <= 0:
        return -math.inf
    spread = math.sqrt(x * y / ((x + y) ** 2 * (x + y + 1)))
    return math.log(max(1e-300, 1 - NormalDist(x / (x + y), spread).cdf(least)))


def _log_beta(x: float, y: float) -> float:
    return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)


def betting(mean: float, spread: float, alpha: float, quantile: float) -> int:
    """Units until the mean wealth of the bets reaches 1/α, each unit having this mean and standard deviation."""
    if mean <= 0:
        return MOST
    z = NORMAL.inv_cdf(quantile)
    second = spread**2 + mean**2

    def reached(units: int) -> bool:
        logs = [units * (g * mean - g**2 * second / 2) - z * g * spread * math.sqrt(units) for g in BETS]
        top = max(logs)
        return top + math.log(sum(math.exp(each - top) for each in logs) / len(BETS)) >= math.log(1 / alpha)

    return _first(reached)


def two_arms(distance: float, variance: float, alpha: float, share: float, quantile: float) -> int:
    """Entities, of both arms, until an asymptotic confidence sequence of their means' difference excludes a value.

    `distance`: from the true difference to that value, 0 or less: it never does. `variance`: of one entity's loss.
    """
    if distance <= 0:
        return MOST
    log = -2 * math.log(2 * alpha)
    tuned = (log + math.log1p(log)) / TUNED_AT
    z = NORMAL.inv_cdf(quantile)

    def reached(units: int) -> bool:
        v = 4 * share * (1 - share) * units * tuned
        width = math.sqrt(2 * (v + 1) / v * math.log1p(math.sqrt(v + 1) / (2 * alpha)))
        return math.sqrt(variance / (units * share * (1 - share))) * (width + z) <= distance

    return _first(reached)


def _first(reached: Callable[[int], bool]) -> int:
    """Return the smallest number that `reached` holds for from there on, at most MOST."""
    high = 1
    while not reached(high):
        high *= 2
        if high >= MOST:
            return MOST
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
