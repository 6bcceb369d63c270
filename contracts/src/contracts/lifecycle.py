"""The life of a model version: trained, registered, gated, promoted, loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import Event, ModelVersion, Value
from contracts.verdicts import GateVerdict, Outcome


class Dataset(Value):
    """A snapshot of rows (Parquet), named by what it contains."""

    uri: str = Field(min_length=1)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="Of the file's bytes")
    rows: int | None = Field(default=None, ge=0)
    window: str | None = Field(default=None, description="The recipe's name for it, such as 2013-04..2013-05")


class ServingArtifact(Value):
    """What a version is served with beside its model: its proven form, golden rows, and the answers it gave to them."""

    uri: str = Field(min_length=1)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="Of the folder's files")


class Trigger(Value):
    """Why a version came to be."""

    kind: str = Field(description="drift, request, re-registration, manual or reconciler")
    event_id: str | None = None
    reason: str | None = None


class TrainingRequested(Event):
    """Somebody wants a new version. Without a window the recipe's newest complete one is trained."""

    type: ClassVar[str] = "gauntlet.TrainingRequested.v1"
    topic: ClassVar[str] = "training"

    window: str | None = Field(default=None, description="One of the recipe's windows, or FIRST..LAST")
    from_run: str | None = Field(default=None, description="Register this earlier MLflow run again; train nothing")
    reason: str = "requested"
    requested_by: str | None = None


class TrainingFailed(Event):
    """A training ended without a version; the reason is the last line of its traceback."""

    type: ClassVar[str] = "gauntlet.TrainingFailed.v1"
    topic: ClassVar[str] = "training"

    job_id: str
    reason: str
    window: str | None = None
    trigger: Trigger | None = None


class ModelRegistered(Event):
    """A version is in MLflow. All but name and version may be left out: the gatekeeper asks MLflow."""

    type: ClassVar[str] = "gauntlet.ModelRegistered.v1"
    topic: ClassVar[str] = "model-registered"
    headers_optional: ClassVar[bool] = True

    model_version: ModelVersion
    run_id: str | None = None
    artifact_uri: str | None = None
    artifact_digest: str | None = None
    training: Dataset | None = None
    evaluation: Dataset | None = Field(default=None, description="The golden rows, with labels")
    reference: Dataset | None = Field(default=None, description="What production is compared with for drift")
    training_keys: Dataset | None = Field(default=None, description="Keys of the training rows, to find leaks by")
    code_version: str | None = None
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    trigger: Trigger | None = None


class GateResult(Event):
    """What GatePassed and GateFailed carry: one verdict a gate, and what they were reached with."""

    model_version: ModelVersion
    candidate_id: str
    outcome: Outcome
    reason: str
    artifact_uri: str
    artifact_digest: str | None = None
    champion_version: ModelVersion | None = Field(default=None, description="The champion it was compared with")
    policy_digest: str
    strategy: str = "direct"
    verdicts: tuple[GateVerdict, ...] = ()


class GatePassed(GateResult):
    """A candidate passed every gate of its policy: it is the challenger."""

    type: ClassVar[str] = "gauntlet.GatePassed.v1"
    topic: ClassVar[str] = "gate-passed"

    serving_artifact: ServingArtifact | None = None


class GateFailed(GateResult):
    """A candidate failed a gate, or a gate could not decide."""

    type: ClassVar[str] = "gauntlet.GateFailed.v1"
    topic: ClassVar[str] = "gate-failed"


class Cause(StrEnum):
    GATE = "gate"
    TRIAL = "trial"
    TOURNAMENT = "tournament"
    APPROVAL = "approval"
    ROLLBACK = "rollback"
    OVERRIDE = "override"


class Promoted(Event):
    """This version is the champion from this epoch on. The highest epoch of a model is the truth."""

    type: ClassVar[str] = "gauntlet.Promoted.v1"
    topic: ClassVar[str] = "promoted"

    model_version: ModelVersion
    epoch: int = Field(ge=1, description="Counts a model's promotions; fences whatever arrives late")
    artifact_uri: str
    artifact_digest: str
    serving_artifact: ServingArtifact | None = None
    previous_version: ModelVersion | None = None
    cause: Cause
    actor: str
    reason: str = ""
    evidence_id: str | None = None
    metric: str | None = None
    baseline: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="The version's metrics on its golden rows: what production is held against"
    )
    reference: Dataset | None = None


class LoadReport(Event):
    model_version: ModelVersion
    epoch: int | None = Field(default=None, description="None for a challenger on a staging replica")
    replica: str
    role: str
    seconds: FiniteFloat = Field(ge=0)


class ModelLoaded(LoadReport):
    """A replica answers with this version."""

    type: ClassVar[str] = "gauntlet.ModelLoaded.v1"
    topic: ClassVar[str] = "serving-status"

    artifact_digest: str


class ModelLoadFailed(LoadReport):
    """A replica could not load this version and goes on with the one it has."""

    type: ClassVar[str] = "gauntlet.ModelLoadFailed.v1"
    topic: ClassVar[str] = "serving-status"

    reason: str
