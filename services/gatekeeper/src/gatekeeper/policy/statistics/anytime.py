"""Tests that may be looked at after every message: at any time, a false alarm has the probability alpha over all looks.

Most are e-processes: bets against the hypothesis, whose wealth E is on average at most 1 at any stopping time if it is
true, so that it reaches 1/alpha with probability alpha at most (J. Ville, 1939; A. Ramdas, P. Grünwald, V. Vovk and
G. Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38, 2023). Functions
return log E, from sums. Those that count errors return a p-value that holds over all looks instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BETTER, WORSE = 20.0, 3.0
"""a: the mixture of `paired` is Beta(a, a) above ½. 20 is most powerful where 60 % of the discordant pairs are wins, as
for small gains; 3 where 75 % are, as for harm that must be seen early."""
TUNED_AT = 2500
"""t*: the number of units at which `difference` is narrowest."""
LEAST_UNITS, LEAST_OUTCOMES = 100, 20
"""In each arm, before the normal approximation of `difference` holds."""
FIRST, REST = 0.85, 0.15
"""How `more_errors` and `above_rate` divide alpha: among the first event, and all later ones."""
WITH_HISTORY = 0.95
"""Share of alpha of `more_errors` that is spent on the comparison with the champion's history, if it has one."""
CHANGED = 0.05
"""Level at which the champion's own errors show that its history is of another time."""
COUNTS = np.array(sorted({1, 2, 3} | {round(base * 2**power) for base in (4, 6) for power in range(28)}))
"""Numbers of events at which they are looked at: 1, 2, 3, 4, 6, 8, 12, 16, 24, …"""
SHARES = np.concatenate([[FIRST], REST * 6 / (math.pi * np.arange(1, len(COUNTS))) ** 2])
"""Of alpha, for each: Σ 6/(π²j²) = 1."""


def paired(wins: int, losses: int, a: float = BETTER) -> float:
    """Return log E against "of the rows on which one version is right, the tried one is right in half at most".

    E = 2ⁿ · B(a + w, a + l) / B(a, a) · 2 · P(Beta(a + w, a + l) > ½): the likelihood ratio to ½, mixed over the upper
    half of Beta(a, a). H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
    Mathematical Statistics 41, 1970. For harm, swap wins and losses, with a = WORSE.
    """
    from scipy.special import betaln

    n = wins + losses
    ratio = n * math.log(2) + betaln(a + wins, a + losses) - betaln(a, a)
    return float(ratio) + math.log(2) + _log_above(0.5, a + wins, a + losses)


def betting(log_wealth: Sequence[float]) -> float:
    """Return log E against "the mean is at most the bound": the mean wealth over the bets of contracts.PairedSums.

    I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal
    Statistical Society B 86, 2024.
    """
    if not log_wealth:
        return 0.0
    return float(np.logaddexp.reduce(log_wealth)) - math.log(len(log_wealth))


def above(k: int, n: int, rate: float) -> float:
    """Return log E against "each of n events had k's outcome with a probability of at most `rate`".

    The likelihood ratio to `rate`, mixed evenly over all larger rates (Robbins, as in `paired`).
    """
    from scipy.special import betaln

    if n == 0:
        return 0.0
    mixed = float(betaln(k + 1, n - k + 1)) + _log_above(rate, k + 1, n - k + 1) - math.log1p(-rate)
    return mixed - k * math.log(rate) - (n - k) * math.log1p(-rate)


def below(k: int, n: int, rate: float) -> float:
    """Return log E against "… with a probability of at least `rate`"."""
    return above(n - k, n, 1 - rate)


def off_share(k: int, n: int, share: float, certainty: float = 100.0) -> float:
    """Return log E against "each of n units was assigned to k's arm with the probability `share`".

    A mixture over Beta with the mean `share` and the weight of `certainty` units: M. Lindon and A. Malek,
    "Anytime-valid inference for multinomial count data", NeurIPS 2022.
    """
    from scipy.special import betaln

    a, b = certainty * share, certainty * (1 - share)
    ratio = float(betaln(a + k, b + n - k) - betaln(a, b))
    return ratio - k * math.log(share) - (n - k) * math.log1p(-share)


@dataclass(frozen=True)
class Sample:
    """Sums over the units of one arm, of values from 0 to 1."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def variance(self) -> float:
        return max(0.0, self.squares - self.n * self.mean**2) / (self.n - 1)

    @property
    def is_enough(self) -> bool:
        """Whether there are LEAST_UNITS, and LEAST_OUTCOMES near 0 and near 1: for values 0 and 1, their numbers.

        For others it is the effective number (Σx)²/Σx² of L. Kish, Survey Sampling, 1965.
        """
        rest, rest_squares = self.n - self.total, self.n - 2 * self.total + self.squares
        return self.n >= LEAST_UNITS and all(
            squares > 0 and total**2 / squares >= LEAST_OUTCOMES
            for total, squares in ((self.total, self.squares), (rest, rest_squares))
        )


def difference(one: Sample, other: Sample, alpha: float) -> tuple[float, float, float] | None:
    """Return the difference of two means with its lower and upper bound, each at the level alpha; None: too few units.

    The asymptotic confidence sequence of I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas, "Time-uniform
    central limit theory and asymptotic confidence sequences", 2021, one-sided, for the difference of the arms' means.
    Its time t is 4·n₁·n₀/(n₁ + n₀): the units of an even split that would be as precise.
    """
    if not (one.is_enough and other.is_enough):
        return None
    observed = one.mean - other.mean
    error = math.sqrt(one.variance / one.n + other.variance / other.n)
    radius = error * boundary(4 * one.n * other.n / (one.n + other.n), alpha)
    return observed, observed - radius, observed + radius


def boundary(t: float, alpha: float) -> float:
    """Return how many standard errors the one-sided bound at the time t is away."""
    log = -2 * math.log(2 * alpha)
    v = t * (log + math.log1p(log)) / TUNED_AT  # tρ², with the ρ² that is best at t*
    squared = 2 * (v + 1) / v * math.log1p(math.sqrt(v + 1) / (2 * alpha))
    return math.sqrt(squared)


def more_errors(k1: int, n1: int, k0: int, n0: int, history_errors: int = 0, history: int = 0) -> float:
    """Return p for "the tried version fails no more often than the champion", that holds over all looks.

    k1 of n1 rows of the tried version failed, k0 of n0 of the champion meanwhile, and some of the champion's before.
    Without history each error is a coin that shows the tried version with the probability n1/(n1 + n0) at most, and
    p = 1/E of `above`. With history that probability changes, and E would be no e-process. Then only errors are looks:
    p is the binomial tail P(at least k of k1 + k0 are the tried version's) at k = 2, 3, 4, 6, 8, …, each at its share
    of alpha (Bonferroni). The first error counts if the champion never failed; an equal version errs first with
    the probability σ·sup(1 - e^{-λM})e^{-λN}, where M rows since the step began, σ of them its own, follow N. The
    history counts only as long as the champion does not fail more often than it did (one look, at CHANGED).
    """
    if k1 == 0 or n0 + history == 0:
        return 1.0
    side = n1 / (n1 + n0)
    of_coin = math.exp(min(0.0, -above(k1, k1 + k0, side))) if n0 else 1.0
    if history == 0:
        return of_coin
    if _tail(k0, k0 + history_errors, n0 / (n0 + history)) <= CHANGED:
        return min(1.0, of_coin / (1 - WITH_HISTORY))
    tails = _tails(k1, k1 + k0 + history_errors, n1 / (n1 + n0 + history))
    tails[0] = 1.0 if k0 + history_errors else side * _first(n1 + n0, history)
    return min(1.0, float((tails / SHARES[: len(tails)]).min()) / WITH_HISTORY, of_coin / (1 - WITH_HISTORY))


def above_rate(k: int, n: int, rate: float) -> float:
    """Return p for "each of n rows fails with a probability of at most `rate`", that holds over all looks.

    As in `more_errors`, the looks are at the first event, and at 2, 3, 4, 6, 8, … of them; for rare events, this needs
    fewer rows than an e-process.
    """
    return 1.0 if k == 0 else min(1.0, float((_tails(k, n, rate) / SHARES[: np.sum(k >= COUNTS)]).min()))


def _tails(k: int, n: int, rate: float) -> NDArray[np.float64]:
    """Return P(at least c of n) for each of COUNTS up to k: at the c-th event it was at most that."""
    return np.array([_tail(int(count), n, rate) for count in COUNTS[k >= COUNTS]])


def _tail(k: int, n: int, rate: float) -> float:
    """Return P(X >= k) for X binomial(n, rate)."""
    from scipy.special import betainc

    return float(betainc(k, n - k + 1, rate)) if k else 1.0


def _first(since: int, before: int) -> float:
    """Return the largest probability, over error rates, of no error in `before` rows, and then one in `since`."""
    ratio = since / before
    return ratio / (1 + ratio) * math.exp(-math.log1p(ratio) / ratio)


def _log_above(x: float, a: float, b: float) -> float:
    """Return log P(Beta(a, b) > x), -inf where that is below the smallest number."""
    from scipy.special import betaincc

    found = float(betaincc(a, b, x))
    return math.log(found) if found > 0 else -math.inf
