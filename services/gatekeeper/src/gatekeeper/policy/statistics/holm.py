"""Several tests at once: the chance that any of them rejects by mistake stays at alpha.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Each p-value such that comparing it with alpha alone is Holm's step-down test; in the order given."""
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"not p-values: {list(p_values)}")
    found = [0.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, (len(p_values) - rank) * p_values[place])
        found[place] = min(1.0, least)
    return found


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected, in the order given."""
    return [p <= alpha for p in adjusted(p_values)]
