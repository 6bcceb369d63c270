"""Score bounds of the difference between two proportions on the same rows.

T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
Statistics in Medicine 17, 1998. Unlike mean ± z·se, they hold when few rows, or none, are discordant.
"""

from __future__ import annotations

import math

STEPS = 60


def score(wins: float, losses: float, n: float, delta: float) -> float:
    """Return the standardised distance of (wins - losses)/n from `delta`, with the variance that `delta` implies."""
    # Maximum-likelihood share of losses, q, given that wins have the share q + delta.
    a, b, c = 2 * n, -(wins + losses) + (2 * n - wins + losses) * delta, -losses * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    distance = wins - losses - n * delta
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def bounds(wins: float, losses: float, n: float, z: float) -> tuple[float, float]:
    """Return the differences z standard errors below and above the observed one."""
    observed = (wins - losses) / n
    return _where(wins, losses, n, z, -1.0, observed), _where(wins, losses, n, -z, observed, 1.0)


def _where(wins: float, losses: float, n: float, wanted: float, low: float, high: float) -> float:
    """Bisect for the delta with the score `wanted`; the score decreases in delta."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if score(wins, losses, n, middle) > wanted else (low, middle)
    return (low + high) / 2
