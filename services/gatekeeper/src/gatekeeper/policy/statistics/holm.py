"""Holm's correction for multiple tests: the family-wise error rate stays at alpha.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values, in the order given; comparing each with alpha is Holm's step-down test."""
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"not p-values: {list(p_values)}")
    found = [0.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, (len(p_values) - rank) * p_values[place])
        found[place] = min(1.0, least)
    return found


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which hypotheses are rejected, in the order given."""
    return [p <= alpha for p in adjusted(p_values)]
