"""The part of a policy that says when production has drifted."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from contracts.durations import Duration
from contracts.section import Section

FORMER_DROP = 0.05
"""The default of `metric_drop` before there were relative ones."""


class RelativeDrop(Section):
    """As a share of the baseline."""

    relative: float = Field(gt=0, description="Share of the baseline, such as 0.05 for 5 %")


class AbsoluteDrop(Section):
    """In the unit of the metric."""

    absolute: float = Field(gt=0, description="Difference from the baseline, in the metric's unit")


def _kind(value: Any) -> str | None:
    if isinstance(value, RelativeDrop) or (isinstance(value, dict) and "relative" in value):
        return "share"
    if isinstance(value, AbsoluteDrop) or (isinstance(value, dict) and "absolute" in value):
        return "difference"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else None


MetricDrop = Annotated[
    Annotated[float, Field(gt=0), Tag("number")]
    | Annotated[RelativeDrop, Tag("share")]
    | Annotated[AbsoluteDrop, Tag("difference")],
    Discriminator(
        _kind,
        custom_error_type="metric_drop",
        custom_error_message="metric_drop is {relative: 0.05}, 5 % of the baseline, or {absolute: 3}, or that number",
    ),
]
"""A plain number is absolute."""


def allowed_drop(drop: MetricDrop, baseline: float) -> float:
    """Return by how much the metric may be worse than `baseline`, in its unit."""
    if isinstance(drop, RelativeDrop):
        return drop.relative * abs(baseline)
    return drop.absolute if isinstance(drop, AbsoluteDrop) else drop


def drop_in_words(drop: MetricDrop) -> str:
    if isinstance(drop, RelativeDrop):
        return f"{100 * drop.relative:g} % of the baseline"
    return f"{drop.absolute if isinstance(drop, AbsoluteDrop) else drop:g}"


class DriftRows(Section):
    """How large a window of production rows is."""

    rows: int = Field(default=2000, ge=200, description="Rows of a window")


class Drift(Section):
    """When production has drifted from the rows that the champion was trained on."""

    window: DriftRows = DriftRows()
    drift_share: float = Field(default=0.5, gt=0, le=1, description="Share of the columns that must have drifted")
    metric_drop: MetricDrop = Field(
        default=RelativeDrop(relative=0.05),
        description="How much worse the metric on labelled rows must be than on the golden rows (the baseline):"
        " {relative: 0.05} is 5 % of the baseline; {absolute: 0.05}, or 0.05, is in the metric's own unit",
    )
    cooldown: Duration = Field(
        default=timedelta(hours=1), description="Minimum time between two DriftDetected; a promotion ends it"
    )
