"""How often chance decides a comparison of two models: standard errors before there are any golden rows.

Nothing is known of the models yet, so both are assumed ordinary: scores normal in either class, half of the rows
positive, AUC and accuracy 0.75, correlated within a class by 0.7 to 0.9. `benchmarks/false_promotion.py` simulates it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

NORMAL = NormalDist()
ORDINARY = 0.75
LOOSELY, CLOSELY = 0.7, 0.9
NEAR_MISS = 0.01


def auc_error(auc: float, rows: int) -> float:
    """Standard error of an AUC, half of the rows positive.

    J. Hanley and B. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 1982.
    """
    half = rows / 2
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return math.sqrt(auc * (1 - auc) + (half - 1) * (q1 + q2 - 2 * auc**2)) / half


def difference_error(metric: str, rows: int, correlation: float, level: float = ORDINARY) -> float | None:
    """Standard error of the difference of two equal models; None for a metric whose scale depends on the data."""
    if metric == "roc_auc":
        # Areas are means of ranks; of normal scores, ranks correlate a little less (K. Pearson 1907).
        of_ranks = 6 / math.pi * math.asin(correlation / 2)
        return auc_error(level, rows) * math.sqrt(2 * (1 - of_ranks))
    if metric == "accuracy":
        return math.sqrt(disagreement(level, correlation) / rows)
    return None


def disagreement(accuracy: float, correlation: float) -> float:
    """Share of rows that only one of two equally accurate models predicts correctly."""
    limit = NORMAL.inv_cdf(accuracy)

    def given(common: float) -> float:
        right = NORMAL.cdf((limit - math.sqrt(correlation) * common) / math.sqrt(1 - correlation))
        return 2 * right * (1 - right)

    return _expected(given)


def equal_passes(metric: str, delta: float, rows: int, correlation: float) -> float | None:
    """How often an equally good model is better by more than `delta` on so many rows."""
    error = difference_error(metric, rows, correlation)
    return None if error is None else 1 - NORMAL.cdf(delta / error)


def near_miss_passes(metric: str, least: float, rows: int) -> float | None:
    """How often a model that truly misses `least` by a hundredth reaches it on so many rows."""
    true = least - NEAR_MISS
    if metric == "accuracy" and 0 < true < 1:
        return 1 - NORMAL.cdf((rows * NEAR_MISS - 0.5) / math.sqrt(rows * true * (1 - true)))
    if metric == "roc_auc" and 0.5 < true < 1:
        return 1 - NORMAL.cdf(NEAR_MISS / auc_error(true, rows))
    return None


def any_passes(alpha: float, challengers: int) -> float:
    """How often at least one of so many equal challengers beats the champion that they are all compared with.

    Their differences share the champion, so they are correlated by a half.
    """
    limit = NORMAL.inv_cdf(1 - alpha)
    share = math.sqrt(0.5)
    return 1 - _expected(lambda common: NORMAL.cdf((limit - share * common) / share) ** challengers)


def rows_needed(metric: str, effect: float, z: float, correlation: float, level: float = ORDINARY) -> int | None:
    """Rows at which a difference of `effect` is z standard errors."""
    some = 1000
    error = difference_error(metric, some, correlation, level)
    return None if error is None else math.ceil(some * (z * error / effect) ** 2)


def _expected(of: Callable[[float], float], steps: int = 400, reach: float = 8.0) -> float:
    """Mean of a function of a standard normal variable, by the trapezium rule."""
    width = 2 * reach / steps
    return width * sum(NORMAL.pdf(-reach + i * width) * of(-reach + i * width) for i in range(steps + 1))
