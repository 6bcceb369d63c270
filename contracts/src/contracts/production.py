"""What production says of a model: predictions, the truth that follows them, and drift."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import Event, ModelVersion, Value

Scalar = bool | int | FiniteFloat | str | None


class Output(Value):
    """What a model said of one row."""

    model_version: ModelVersion
    score: FiniteFloat | None = Field(default=None, description="Binary: probability of the positive class")
    label: Scalar = Field(default=None, description="The class, or the predicted number")


class PredictionMade(Event):
    """One row was answered. `request_id` and `row` together are its identity."""

    type: ClassVar[str] = "gauntlet.PredictionMade.v1"
    topic: ClassVar[str] = "predictions"

    request_id: str
    row: int = Field(default=0, ge=0)
    entity_id: str | None = None
    event_time: datetime | None = Field(default=None, description="When what the row describes happened")
    features: dict[str, Scalar]
    champion: Output
    challenger: Output | None = None
    latency_ms: FiniteFloat = Field(ge=0, description="Of the whole request")


class GroundTruthReceived(Event):
    """What really happened, by request (and row) or by entity."""

    type: ClassVar[str] = "gauntlet.GroundTruthReceived.v1"
    topic: ClassVar[str] = "ground-truth"
    headers_optional: ClassVar[bool] = True

    request_id: str | None = None
    row: int = Field(default=0, ge=0)
    entity_id: str | None = None
    label: Scalar
    event_time: datetime | None = None


class DriftKind(StrEnum):
    DATA = "data"
    PREDICTION = "prediction"
    PERFORMANCE = "performance"
    PROXY = "proxy"


class DriftWindow(Value):
    """The rows that were judged."""

    id: str
    rows: int = Field(ge=0)
    start: datetime
    end: datetime
    labelled: int = Field(default=0, ge=0)


class FeatureScore(Value):
    feature: str
    method: str
    score: FiniteFloat
    limit: FiniteFloat
    drifted: bool


class DriftDetected(Event):
    """Production no longer looks like the version's reference, or the version no longer does well."""

    type: ClassVar[str] = "gauntlet.DriftDetected.v1"
    topic: ClassVar[str] = "drift-detected"

    model_version: ModelVersion
    kind: DriftKind
    window: DriftWindow
    drift_share: FiniteFloat | None = Field(default=None, ge=0, le=1, description="Share of columns that drifted")
    scores: tuple[FeatureScore, ...] = ()
    metric: str | None = None
    observed: FiniteFloat | None = None
    bound: FiniteFloat | None = None
    budget: str | None = Field(default=None, description="The false alarms that the policy allows, in words")
    report_uri: str | None = None
    reason: str
