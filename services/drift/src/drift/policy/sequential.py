"""Whether a metric has become worse than its bound: a test that may be looked at after every window.

Each window gives a z-value of how much worse than the bound the metric was. For a bet λ, e = exp(λ z - λ²/2) is on
average at most 1 while the metric is not worse, and M ← (M + 1) e, from 0, is an e-detector of Shiryaev–Roberts type:
on average it is at most the number of windows. So the average number of windows until it reaches c without a drop is at
least c, and a drop that begins late is seen as quickly as one from the start: earlier good windows take nothing away
(J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", The New
England Journal of Statistics in Data Science 2, 2024). The mean over several bets is an e-detector too, and so is the
mean over several tests: each of m tests that share a budget needs m times as much.

The baseline is an estimate too, and its error is in every window. It is replaced by its one-sided 80 % limit, and the
evidence that is needed is divided by 0.8: then the average number of windows is kept over the baseline's error as well.
(At 90 % a drop of twice what is allowed takes up to a third longer, at 70 % a version with an unlucky baseline alarms
more often: `python -m benchmarks.drift_performance`.)
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from contracts.event import Value

BETS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""λ, in standard errors of a window: a drop of z beyond the bound is seen fastest by the bet λ = z."""
LARGEST_Z = 12.0
"""Beyond it the normal approximation means nothing, and evidence grows without bound."""
BASELINE_LIMIT = 0.8
"""Level of the baseline's one-sided limit."""


class Evidence(Value):
    """State of a test over the windows since its beginning, or since its last alarm.

    `bound`: what it is a test of; another one begins another test. `log_e`: log M for each of BETS.
    """

    bound: float
    windows: int
    log_e: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean over the bets; at most 1e300."""
        largest = max(self.log_e)
        log_mean = largest + math.log(sum(math.exp(each - largest) for each in self.log_e) / len(self.log_e))
        return math.exp(min(log_mean, 690.0))


def z_value(worse_by: float, se: float, units: int) -> float:
    """Return the z-value of a metric that is worse than its bound by this much (negative: better).

    The ratio to a standard error from `units` has Student's t-distribution with units - 1 degrees of freedom; z is the
    normal value of the same probability.
    """
    if worse_by == 0:
        return 0.0
    if se <= 0:
        return math.copysign(LARGEST_Z, worse_by)
    t = worse_by / se
    z = -float(ndtri(stdtr(max(1, units - 1), -abs(t))))
    return math.copysign(min(z, LARGEST_Z), t)


def advanced(before: Evidence | None, bound: float, z: float) -> Evidence:
    """Return the state after a further window."""
    if before is None or not math.isclose(before.bound, bound, rel_tol=1e-9, abs_tol=1e-12):
        return Evidence(bound=bound, windows=1, log_e=tuple(bet * z - bet * bet / 2 for bet in BETS))
    grown = (
        float(np.logaddexp(0.0, log_e)) + bet * z - bet * bet / 2 for bet, log_e in zip(BETS, before.log_e, strict=True)
    )
    return Evidence(bound=bound, windows=before.windows + 1, log_e=tuple(grown))


def needed(windows: float, tests: int, *, uncertain_baseline: bool) -> float:
    """Return the evidence at which a test alarms: at least so many windows pass, on average, between false alarms.

    `windows`: the policy's budget, windows for each false alarm. `tests`: how many share it.
    """
    return windows * tests / (BASELINE_LIMIT if uncertain_baseline else 1.0)


def interval(value: float, se: float, units: int, level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided confidence interval of a window's metric."""
    width = se * float(stdtrit(max(1, units - 1), 0.5 + level / 2))
    return value - width, value + width


def limit_of_baseline(se: float, units: int) -> float:
    """Return by how much the true baseline may be worse than the measured one, at BASELINE_LIMIT."""
    return se * float(stdtrit(max(1, units - 1), BASELINE_LIMIT))
