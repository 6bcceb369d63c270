"""A version's own metric on golden rows with its interval, as the verdict of its performance gate holds it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from contracts import GateVerdict
from contracts.metrics import METRICS


@dataclass(frozen=True)
class OwnMetric:
    """The value of a metric on `n` golden rows, and its bounds.

    With `champion_version` it was compared: `champion` is that version's value on the same rows, and the bounds are
    those of the difference, from the champion's value on. They say whether the version is better, and so are narrower
    than bounds of the value itself. Without it, they are the bounds of the value. None: not computed.
    """

    metric: str
    value: float
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    champion_version: int | None = None
    champion: float | None = None


def own_metric(verdict: GateVerdict) -> OwnMetric | None:
    """Read a verdict of the performance gate; None where it measured nothing, or in a format of an older version."""
    details, metric = verdict.details, verdict.metric
    if metric is None or (value := _number(verdict.observed)) is None:
        return None
    champion, challenger = _number(details.get("champion")), _number(details.get("challenger"))
    lower, upper = _number(details.get("lower")), _number(details.get("upper"))
    if champion is None or challenger is None:
        # Of several minimums, the bounds are those of the one that `metric` names.
        several = details.get("measured")
        bounds = several.get(metric, {}) if isinstance(several, dict) else details
        return OwnMetric(metric, value, _number(bounds.get("lower")), _number(bounds.get("upper")), verdict.n)
    if lower is not None and upper is not None:
        # A difference is positive where the challenger is better, whatever the direction of the metric.
        greater = metric not in METRICS or METRICS[metric].greater_is_better
        lower, upper = (champion + lower, champion + upper) if greater else (champion - upper, champion - lower)
    version = details.get("champion_version")
    return OwnMetric(metric, challenger, lower, upper, verdict.n, version, champion)


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None
