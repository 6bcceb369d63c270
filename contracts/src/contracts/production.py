"""Events from production: predictions, the labels that follow them, and drift."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import Event, ModelVersion, Value

Scalar = bool | int | FiniteFloat | str | None


class Output(Value):
    """The prediction of one row."""

    model_version: ModelVersion
    score: FiniteFloat | None = Field(default=None, description="Binary: probability of the positive class")
    label: Scalar = Field(default=None, description="The predicted class or number")
    error: str | None = Field(default=None, description="Why it failed; then there is no label")
    latency_ms: FiniteFloat | None = Field(
        default=None, ge=0, description="Time that the version took, with others in its batch; in a rollout only"
    )


class Arm(StrEnum):
    """The versions of a rollout."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    """The tried version; in a watch, the former champion."""


class PredictionMade(Event):
    """One row was predicted. `request_id` and `row` together identify the prediction."""

    type: ClassVar[str] = "gauntlet.PredictionMade.v1"
    topic: ClassVar[str] = "predictions"

    request_id: str = Field(description="The request's X-Request-ID")
    row: int = Field(default=0, ge=0, description="Number of the row in the request, from 0")
    entity_id: str | None = Field(default=None, description="Value of the policy's entity column")
    event_time: datetime | None = Field(default=None, description="When the described event happened")
    features: dict[str, Scalar] = Field(description="The row as it was predicted")
    champion: Output = Field(
        description="The champion's prediction, which the client received; without label where it did not predict the"
        " row (arm challenger, unless that version failed), or failed"
    )
    challenger: Output | None = Field(default=None, description="The prediction of the version that is tried")
    arm: Arm | None = Field(
        default=None,
        description="To which version a split assigned the row; if the challenger has an error, the client received the"
        " champion's prediction. Absent: no split",
    )
    rollout_id: str | None = Field(default=None, description="The rollout during which it was made")
    step: int | None = Field(default=None, ge=0, description="The rollout's step")
    latency_ms: FiniteFloat = Field(ge=0, description="Latency of the whole request")


class GroundTruthReceived(Event):
    """The true label of a prediction, identified by request (and row) or by entity."""

    type: ClassVar[str] = "gauntlet.GroundTruthReceived.v1"
    topic: ClassVar[str] = "ground-truth"
    headers_optional: ClassVar[bool] = True

    request_id: str | None = Field(default=None, description="Request of the prediction")
    row: int = Field(default=0, ge=0, description="Number of the row in that request, from 0")
    entity_id: str | None = Field(default=None, description="Or the entity of the prediction")
    label: Scalar = Field(description="The true class or number")
    event_time: datetime | None = Field(default=None, description="When the described event happened")


class DriftKind(StrEnum):
    DATA = "data"
    PREDICTION = "prediction"
    PERFORMANCE = "performance"
    PROXY = "proxy"


class DriftWindow(Value):
    """The production rows that were judged."""

    id: str = Field(description="The window's id, see GET /windows/{window_id}")
    rows: int = Field(ge=0, description="Number of rows")
    start: datetime = Field(description="Time of the first row")
    end: datetime = Field(description="Time of the last row")
    labelled: int = Field(default=0, ge=0, description="Number of rows with a label")


class FeatureScore(Value):
    """How far a feature of the window is from the reference."""

    feature: str = Field(description="The column")
    method: str = Field(description="The distance that was used")
    score: FiniteFloat = Field(description="The distance")
    limit: FiniteFloat = Field(description="The distance from which the feature has drifted")
    drifted: bool = Field(description="Whether the score reaches the limit")
    expected: FiniteFloat | None = Field(
        default=None, description="The mean distance of windows without drift, where the limit is calibrated"
    )


class Harm(StrEnum):
    """Whether a drift of the data lowers the performance."""

    HARMFUL = "harmful"
    BENIGN = "benign"
    UNKNOWN = "unknown"


class HarmEstimate(Value):
    """What a drift of the data is estimated to cost, before there are labels."""

    harm: Harm
    reason: str = Field(description="Why, in a sentence")
    metric: str | None = Field(default=None, description="The metric of the estimate")
    baseline: FiniteFloat | None = Field(default=None, description="The metric on the golden rows")
    estimated: FiniteFloat | None = Field(
        default=None, description="The metric in the window, estimated without labels"
    )
    importance: dict[str, FiniteFloat] = Field(
        default_factory=dict,
        description="By how much the metric of the golden rows is worse when a drifted column is permuted",
    )


class DriftDetected(Event):
    """Production differs from the version's reference, or the version's metric has dropped."""

    type: ClassVar[str] = "gauntlet.DriftDetected.v1"
    topic: ClassVar[str] = "drift-detected"

    model_version: ModelVersion
    kind: DriftKind = Field(description="What has drifted")
    window: DriftWindow = Field(description="The window in which it was seen")
    drift_share: FiniteFloat | None = Field(default=None, ge=0, le=1, description="Share of columns that drifted")
    scores: tuple[FeatureScore, ...] = Field(default=(), description="One per feature")
    metric: str | None = Field(default=None, description="Performance drift: the metric")
    observed: FiniteFloat | None = Field(default=None, description="Performance drift: the metric in the window")
    bound: FiniteFloat | None = Field(default=None, description="Performance drift: the value it is worse than")
    low: FiniteFloat | None = Field(default=None, description="Lower end of the interval of `observed`")
    high: FiniteFloat | None = Field(default=None, description="Upper end of the interval of `observed`")
    harm: HarmEstimate | None = Field(default=None, description="Drift of the data: what it is estimated to cost")
    proxy: bool = Field(
        default=False, description="Whether `observed` is an estimate without labels, which decides nothing alone"
    )
    assumption: str | None = Field(
        default=None,
        description="What the limits are calibrated on: windows (past windows) or iid (random splits of the reference)",
    )
    budget: str | None = Field(default=None, description="The false alarms that the policy allows, in words")
    report_uri: str | None = Field(default=None, description="The report as an HTML page")
    reason: str = Field(description="Why, in a sentence")

    @property
    def decides(self) -> bool:
        """Whether it may lead to a training: a changed score, or an estimate without labels, does not alone."""
        return self.kind in (DriftKind.DATA, DriftKind.PERFORMANCE) and not self.proxy
