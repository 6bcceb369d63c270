"""Exact (Clopper–Pearson) bounds of a proportion."""

from __future__ import annotations

import math

import numpy as np

STEPS = 80  # bisections: each halves the interval, 80 exhaust a float64


def at_least(successes: int, n: int, p: float) -> float:
    """Return P(X >= successes) for X binomial(n, p)."""
    if successes <= 0 or p >= 1.0:
        return 1.0
    if p <= 0.0:
        return 0.0
    k = np.arange(successes, n + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = log_factorials[n] - log_factorials[k] - log_factorials[n - k] + k * math.log(p) + (n - k) * math.log1p(-p)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def lower_bound(successes: int, n: int, alpha: float) -> float:
    """Return the p at which P(X >= successes) is alpha."""
    if successes == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_least(successes, n, middle) < alpha else (low, middle)
    return low


def upper_bound(successes: int, n: int, alpha: float) -> float:
    """Return the p at which P(X <= successes) is alpha."""
    return 1.0 - lower_bound(n - successes, n, alpha)
