"""The part of a policy that says when production has drifted."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from contracts.durations import Duration
from contracts.metrics import METRICS, MetricName
from contracts.section import Section

MOST_RELATIVE = 3.0
"""A loss of four times the baseline: beyond it, a percentage is meant."""

FORMER_DROP = 0.05
"""The default of `metric_drop` before there were relative ones."""

FORMER_SHARE = 0.5
"""The default of `drift_share` before there was a budget."""


class RelativeDrop(Section):
    """As a share of the baseline."""

    relative: float = Field(gt=0, description="Share of the baseline, such as 0.05 for 5 %")


class AbsoluteDrop(Section):
    """In the unit of the metric."""

    absolute: float = Field(gt=0, description="Difference from the baseline, in the metric's unit")


def _kind(value: Any) -> str | None:
    if isinstance(value, dict) and {"relative", "absolute"} <= value.keys():
        return None
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
        custom_error_message="metric_drop is {relative: 0.05}, 5 % of the baseline, or {absolute: 3}, or that number,"
        " in the unit of the metric; one of them",
    ),
]
"""A plain number is absolute."""


def allowed_drop(drop: MetricDrop, baseline: float) -> float:
    """Return by how much the metric may be worse than `baseline`, in its unit."""
    if isinstance(drop, RelativeDrop):
        return drop.relative * abs(baseline)
    return drop.absolute if isinstance(drop, AbsoluteDrop) else drop


def impossible(drop: MetricDrop, metric: str | None) -> str | None:
    """Return why the metric can never be worse by so much; None where it can. `metric` None: it is not known.

    Most often a percentage was written.
    """
    if isinstance(drop, RelativeDrop):
        value, unit = drop.relative, "of the baseline"
        most = 1.0 if metric is None or METRICS[metric].is_share else MOST_RELATIVE
        said = f"{{relative: {value:g}}} is {100 * value:g} % {unit}"
        fits = f"{{relative: {value / 100:g}}}"
    else:
        value = drop.absolute if isinstance(drop, AbsoluteDrop) else drop
        most = 1.0 if metric is not None and METRICS[metric].is_share else math.inf
        said = f"{value:g} is in the unit of {metric}, which is from 0 to 1"
        fits = f"{value / 100:g}, or {{relative: {value / 100:g}}}"
    return None if value < most else f"{said}: no model loses so much; for {value:g} %: {fits}"


def drop_in_words(drop: MetricDrop) -> str:
    if isinstance(drop, RelativeDrop):
        return f"{100 * drop.relative:g} % of the baseline"
    return f"{drop.absolute if isinstance(drop, AbsoluteDrop) else drop:g}"


class Budget(Section):
    """How many windows may be judged as drifted although nothing has changed."""

    false_alarms: int = Field(default=1, ge=1, description="False alarms")
    per_windows: int = Field(default=20, ge=2, le=1000, description="In this number of windows")

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_said(cls, value: Any) -> Any:
        """Parse `1 in 20`."""
        if isinstance(value, dict | Budget):
            return value
        found = re.fullmatch(r"\s*(\d{1,4})\s+in\s+(\d{1,4})\s*", value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("expected for example 1 in 20: one false alarm in 20 windows")
        return {"false_alarms": int(found[1]), "per_windows": int(found[2])}

    @model_validator(mode="after")
    def _is_rare(self) -> Budget:
        if 2 * self.false_alarms > self.per_windows:
            raise ValueError(
                f"{self.false_alarms} false alarms in {self.per_windows} windows: at most half of the windows"
            )
        return self

    @property
    def share(self) -> float:
        """The probability that a window without drift is judged as drifted, from 0 to 0.5."""
        return self.false_alarms / self.per_windows

    @property
    def in_words(self) -> str:
        plural = "" if self.false_alarms == 1 else "s"
        return f"{self.false_alarms} false alarm{plural} in {self.per_windows} windows"


class After(NamedTuple):
    """Drift is announced when `drifted` of the newest `windows` windows have drifted, the newest one included."""

    drifted: int
    windows: int

    def __str__(self) -> str:
        return f"{self.drifted} of {self.windows}"


def _after(value: Any) -> Any:
    """Parse `2 of 3`; a single number is that number of windows in succession."""
    if isinstance(value, After):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value} of {value}"
    found = re.fullmatch(r"\s*(\d{1,2})\s+of\s+(\d{1,2})\s*", value) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST_WINDOWS:
        raise ValueError(f"expected for example 2 of 3: drift in 2 of the newest 3 windows, of at most {MOST_WINDOWS}")
    return After(int(found[1]), int(found[2]))


MOST_WINDOWS = 20
"""That `after` may look back on."""

AfterWindows = Annotated[After, BeforeValidator(_after), PlainSerializer(str, return_type=str)]


class DriftRows(Section):
    """How large a window of production rows is."""

    rows: int = Field(default=2000, ge=200, description="Rows of a window")


def _retrain(value: Any) -> Any:
    if value not in ("always", "on harmful"):
        raise ValueError(
            "expected always, or on harmful; a model without `recipe` is never trained, and drift is announced all the"
            " same"
        )
    return value


class Drift(Section):
    """When production has drifted from the rows that the champion was trained on."""

    if_off: ClassVar[str] = (
        "every champion is watched, and drift alone never changes it. To hear of it rarely: {budget: 1 in 200, after: 3"
        " of 3}; to train only for what hurts: {retrain: on harmful}"
    )

    window: DriftRows = DriftRows()
    budget: Budget = Field(
        default=Budget(),
        description="How often a window may be judged as drifted although nothing has changed, such as 1 in 20: the"
        " limits of the columns are calibrated so",
    )
    after: AfterWindows = Field(
        default=After(2, 3),
        description="Drift of the data is announced when so many of the newest windows have drifted, such as 2 of 3",
    )
    drift_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Instead of `budget`: the share of the columns that must have drifted, each by the fixed limit 0.1",
    )
    retrain: Annotated[Literal["always", "on harmful"], BeforeValidator(_retrain)] = Field(
        default="always",
        description="Which announced drift leads to a training. on harmful: only drift of the data that is estimated to"
        " be harmful, and every drop of the performance",
    )
    metric_drop: MetricDrop = Field(
        default=RelativeDrop(relative=0.05),
        description="How much worse the metric on labelled rows must be than on the golden rows (the baseline):"
        " {relative: 0.05} is 5 % of the baseline; {absolute: 0.05}, or 0.05, is in the metric's own unit",
    )
    alerts: dict[MetricName, float] = Field(
        default={},
        examples=[{"mape": 0.2, "directional_accuracy": 0.55}],
        description="Worst acceptable values of metrics on labelled rows, for example"
        " {mape: 0.2, directional_accuracy: 0.55}",
    )
    cooldown: Duration = Field(
        default=timedelta(hours=1), description="Minimum time between two DriftDetected; a promotion ends it"
    )

    @field_validator("alerts", mode="before")
    @classmethod
    def _alerts_are_possible(cls, alerts: Any) -> Any:
        """Refuse values that a metric is always, or never, worse than: most often a percentage."""
        for name, worst in alerts.items() if isinstance(alerts, dict) else ():
            if name not in METRICS or isinstance(worst, bool) or not isinstance(worst, int | float):
                continue
            metric = METRICS[name]
            if metric.is_share and not 0 < worst < 1:
                hint = f"; did you mean {worst / 100:g}?" if 2 <= worst < 100 else ""
                raise ValueError(f"{name} is from 0 to 1, and {worst:g} is not between them{hint}")
            if not metric.greater_is_better and worst <= 0:
                raise ValueError(f"{name} is never below 0: {worst:g} would always alarm")
        return alerts

    @model_validator(mode="after")
    def _one_rule(self, info: ValidationInfo) -> Drift:
        # A policy that is read again from evidence names every key, one that a person wrote does not.
        is_written = bool(info.context) and "budget" in self.model_fields_set
        if self.drift_share is not None and (is_written or self.budget != Budget()):
            raise ValueError("budget and drift_share are two rules for the same decision; leave one of them out")
        return self


class Benchmark(Section):
    """A comparison of the champion with earlier versions and a trivial baseline, at regular intervals."""

    every: Duration = Field(
        default=timedelta(days=7), gt=timedelta(0), description="Interval between two benchmarks, such as 7d"
    )
    max_rows: int = Field(
        default=20_000, ge=200, description="Maximum number of labelled production rows, the newest ones"
    )
    tournament: bool = Field(
        default=False,
        description="Whether a tournament follows when the champion is not better than the trivial baseline",
    )
