"""Formulas of the regression and forecasting metrics that gates, drift and training share.

Written with operators alone, so that they hold for numbers and, element by element, for arrays of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

PINBALL = "pinball"
MEDIAN = 0.5


def smape(truth: Any, answer: Any) -> Any:
    """Return the symmetric relative error of each row, from 0 to 2: 2|y - p| / (|y| + |p|), and 0 where both are 0.

    S. Makridakis, "Accuracy measures: theoretical and practical concerns", International Journal of Forecasting 9,
    1993; in the form of B. Flores, "A pragmatic view of accuracy measurement in forecasting", Omega 14, 1986, times 2.
    """
    size = abs(truth) + abs(answer)
    return 2 * abs(truth - answer) / (size + (size == 0))


def pinball(truth: Any, answer: Any, quantile: float) -> Any:
    """Return the loss of each row for a prediction of a quantile: q(y - p) where y > p, else (1 - q)(p - y).

    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978. At the median it is half of the absolute
    error.
    """
    rest = truth - answer
    return rest * (quantile - (rest < 0))


def same_direction(truth: Any, answer: Any, before: Any) -> Any:
    """Return whether the prediction changes from the value before in the direction in which the truth did.

    O. Blaskowitz and H. Herwartz, "On economic evaluation of directional forecasts", International Journal of
    Forecasting 27, 2011: sign(p - b) = sign(y - b).
    """
    return ((answer > before) == (truth > before)) & ((answer < before) == (truth < before))


def quantile_of(metric: str) -> float | None:
    """Return the quantile of `pinball` (0.5) and of `pinball_90` (0.9); None for any other name."""
    name, _, percent = metric.partition("_")
    if name != PINBALL:
        return None
    if metric == PINBALL:
        return MEDIAN
    try:
        quantile = float(percent) / 100
    except ValueError:
        return None
    return quantile if 0 < quantile < 1 and percent[:1].isdigit() and percent[-1:].isdigit() else None


def values_before(labels: Sequence[float], times: Sequence[Any], entities: Sequence[Any] | None = None) -> list[float]:
    """Return, for each row, the label of the row before it: of the same entity, in order of time.

    NaN for the first row of an entity, and for one without a time (None). Rows of one time keep their order.
    """
    order = sorted((at for at in range(len(labels)) if times[at] is not None), key=lambda at: times[at])
    found, last = [math.nan] * len(labels), dict[Any, float]()
    for at in order:
        entity = None if entities is None else entities[at]
        found[at] = last.get(entity, math.nan)
        last[entity] = labels[at]
    return found


def naive_error(labels: Sequence[float], before: Sequence[float]) -> float | None:
    """Return the mean absolute error of predicting each row by the one before it, in which `mase` is measured.

    R. Hyndman and A. Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22,
    2006; over the golden rows instead of the training rows, which the gate does not have. None where no row has one
    before it, or all are equal to it.
    """
    changes = [abs(label - last) for label, last in zip(labels, before, strict=True) if not math.isnan(last)]
    return math.fsum(changes) / len(changes) if any(changes) else None
