"""From passed to champion: the events of a rollout, and the approvals of people."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import LARGEST_INTEGER, Event, ModelVersion, Value
from contracts.lifecycle import OutputFormat, ServingArtifact
from contracts.losses import LossKind

BETS = tuple(2.0**-power for power in range(1, 9))
"""The bets g of `PairedSums`: shares of the wealth that each unit is bet with."""


def log_wealth(d: float, margin: float = 0.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what one unit adds to `log_wealth_better` and `log_wealth_worse`, for each of the bets.

    d, from -1 to 1, is the loss of the champion minus that of the tried version. With x = (1 ± d)/2 in [0, 1] and the
    bound (1 ∓ m)/2 of its mean, each is log(1 + g·(x/bound - 1)): I. Waudby-Smith and A. Ramdas, "Estimating means of
    bounded random variables by betting", Journal of the Royal Statistical Society B 86, 2024.
    """
    better, worse = (d + margin) / (1 - margin), -(d + margin) / (1 + margin)
    return tuple(math.log1p(g * better) for g in BETS), tuple(math.log1p(g * worse) for g in BETS)


class Stage(StrEnum):
    """Where a rollout stands."""

    STAGING = "staging"
    SHADOW = "shadow"
    CANARY = "canary"
    AB = "ab"
    APPROVAL = "approval"
    WATCH = "watch"
    ENDED = "ended"


class Mode(StrEnum):
    """What serving does with the version that is tried."""

    OFF = "off"
    """Nothing: it is not loaded for production."""
    SHADOW = "shadow"
    """It predicts what the champion answers."""
    SPLIT = "split"
    """It answers its share of the entities."""


class Result(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"
    """Harm was shown, or a person aborted it."""
    KEPT = "kept"
    """The champion stays: nothing was shown at the maximum size, or nothing could be."""
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """A newer challenger, another champion or a restore ended it."""


class TriedVersion(Value):
    """The version beside the champion: the challenger, or in a watch the former champion."""

    model_version: ModelVersion
    artifact_uri: str = Field(description="Where the model is")
    artifact_digest: str = Field(description="SHA-256 of the model's files")
    serving_artifact: ServingArtifact | None = Field(default=None, description="What it is served with")
    output: OutputFormat | None = Field(default=None, description="How its predictions are read")


class Loss(Value):
    """How a prediction with a label becomes a number from 0 (right) to 1."""

    kind: LossKind
    scale: FiniteFloat = Field(default=1.0, gt=0, description="The loss is divided by it, and cut at 1")
    quantile: FiniteFloat | None = Field(default=None, gt=0, lt=1, description="pinball: the quantile")
    margin: FiniteFloat = Field(
        default=0.0, ge=0, lt=1, description="Mean loss by which the tried version may be worse; shifts the log wealth"
    )


class RolloutChanged(Event):
    """What serving and drift do for this model from now on. The highest revision of a model is in force."""

    type: ClassVar[str] = "gauntlet.RolloutChanged.v1"
    topic: ClassVar[str] = "rollouts"
    signed: ClassVar[bool] = True

    rollout_id: str = Field(min_length=1, max_length=250, description="See GET /rollouts/{rollout_id}")
    revision: int = Field(
        ge=1, le=LARGEST_INTEGER, description="Counts all changes of a model's rollouts; readers ignore lower ones"
    )
    stage: Stage
    step: int = Field(ge=0, le=LARGEST_INTEGER, description="Counts the rollout's steps; each has sums of its own")
    mode: Mode
    share: FiniteFloat = Field(default=0.0, ge=0, le=1, description="split: share of the entities it answers")
    salt: str = Field(default="", description="split: of the hash that assigns entities; the same at every step")
    champion_version: ModelVersion = Field(description="The version that answers otherwise")
    champion_epoch: int = Field(
        ge=1, le=LARGEST_INTEGER, description="Replicas whose champion has another epoch do nothing for this rollout"
    )
    tried: TriedVersion
    loss: Loss | None = Field(default=None, description="How labels are used; absent: they are not")
    label_maturity_seconds: FiniteFloat = Field(
        default=0, ge=0, description="Age of a prediction from which its label, or that it has none, counts"
    )
    began_at: datetime = Field(description="Begin of the step")
    result: Result | None = Field(default=None, description="How it ended; set when the stage is ended")
    actor: str = Field(description="Who decided: a person, or the gatekeeper")
    reason: str = Field(description="Why, in a sentence")


class PairedSums(Value):
    """Sums over units of which both versions predicted the same row, with its label: d = loss of the champion minus
    loss of the tried version, from -1 to 1; positive: the tried version is better."""

    n: int = Field(default=0, ge=0, description="Units")
    wins: int = Field(default=0, ge=0, description="Units with d > 0")
    losses: int = Field(default=0, ge=0, description="Units with d < 0")
    sum_d: FiniteFloat = 0.0
    sum_d2: FiniteFloat = 0.0
    log_wealth_better: tuple[FiniteFloat, ...] = Field(
        default=(), description="Σ log(1 + g·(d + m)/(1 - m)) for each of the bets g = 2⁻¹…2⁻⁸, m the loss's margin"
    )
    log_wealth_worse: tuple[FiniteFloat, ...] = Field(default=(), description="Σ log(1 - g·(d + m)/(1 + m))")


class ArmSums(Value):
    """Sums over the predictions of one version."""

    model_version: ModelVersion
    units: int = Field(default=0, ge=0, description="Units that were assigned to it (split), or that it predicted")
    predictions: int = Field(default=0, ge=0, description="Rows that it predicted or failed on")
    errors: int = Field(
        default=0, ge=0, description="Rows that it failed on (shadow, tried version: while the champion answered)"
    )
    latency: dict[str, int] = Field(
        default_factory=dict,
        description="Predictions by latency bucket (contracts.latency_buckets), empty ones left out",
    )
    labelled: int = Field(default=0, ge=0, description="Units with a mature label")
    loss: FiniteFloat = Field(default=0.0, description="Σ loss of those units")
    loss2: FiniteFloat = Field(default=0.0, description="Σ loss²")
    right: int = Field(default=0, ge=0, description="Units with a loss below ½")


class RolloutMeasured(Event):
    """Totals since the rollout's step began: lost, late, doubled or replayed events change nothing."""

    type: ClassVar[str] = "gauntlet.RolloutMeasured.v1"
    topic: ClassVar[str] = "rollout-measures"

    rollout_id: str = Field(min_length=1, max_length=250)
    step: int = Field(ge=0, le=LARGEST_INTEGER)
    champion: ArmSums
    tried: ArmSums
    paired: PairedSums = PairedSums()
    champion_history: int = Field(default=0, ge=0, description="Rows that the champion predicted before the step")
    champion_history_errors: int = Field(default=0, ge=0, description="Rows that it failed on before the step")
    compared: int = Field(default=0, ge=0, description="Rows of which both versions predicted, with or without label")
    agreed: int = Field(default=0, ge=0, description="Of those, rows on which they agree")
    waiting: int = Field(default=0, ge=0, description="Units whose label is not mature, or has not come")
    counted_from: datetime = Field(
        description="The sums hold everything since then: the begin of the step, or later after a database was lost"
    )
    measured_at: datetime


class ApprovalEvent(Event):
    topic: ClassVar[str] = "approvals"

    model_version: ModelVersion
    rollout_id: str = Field(description="See GET /rollouts/{rollout_id}")
    verdict_digest: str = Field(description="Of the evidence that is approved; of another one, nothing is approved")


class ApprovalRequested(ApprovalEvent):
    """A version has proved itself, and waits for people."""

    type: ClassVar[str] = "gauntlet.ApprovalRequested.v1"

    people: int = Field(ge=1, description="Number of different people who must approve")
    expires_at: datetime
    reason: str = Field(description="What was shown, in a sentence")


class ApprovalGiven(ApprovalEvent):
    """A person approved."""

    type: ClassVar[str] = "gauntlet.ApprovalGiven.v1"

    actor: str
    reason: str = ""
    missing: int = Field(ge=0, description="Number of people who must still approve")


class ApprovalRefused(ApprovalEvent):
    """A person refused: the champion stays."""

    type: ClassVar[str] = "gauntlet.ApprovalRefused.v1"

    actor: str
    reason: str = ""
