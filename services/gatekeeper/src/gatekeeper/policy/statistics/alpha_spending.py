"""Alpha spending: share alpha among the many challengers of one golden dataset."""

from __future__ import annotations

import math


def spent(alpha: float, k: int) -> float:
    """Return the level for the k-th challenger, from 1 on; over any number of challengers, the sum is at most alpha.

    Σ 1/k² = π²/6 (Euler). By Bonferroni's inequality, alpha bounds the chance that any is promoted by mistake.
    """
    if k < 1:
        raise ValueError(f"challengers are counted from 1, not {k}")
    return alpha * 6 / (math.pi**2 * k**2)
