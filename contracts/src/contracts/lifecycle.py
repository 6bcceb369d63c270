"""The life of a model version: trained, registered, gated, promoted, loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import LARGEST_INTEGER, Event, ModelVersion, Value
from contracts.metrics import Problem
from contracts.verdicts import GateVerdict, Outcome


class Dataset(Value):
    """A snapshot of rows (Parquet), identified by the digest of its content."""

    uri: str = Field(min_length=1, description="Where the file is")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256 of the file")
    rows: int | None = Field(default=None, ge=0, description="Number of rows")
    window: str | None = Field(default=None, description="The recipe's name for it, such as 2013-04..2013-05")


class ServingArtifact(Value):
    """What a version is served with besides its model: the compiled model, and golden rows with its predictions."""

    uri: str = Field(min_length=1, description="Where the folder is")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256 of the folder's files")


class OutputFormat(Value):
    """How the predictions of a version are read. It is what its gates used; serving and drift use the same."""

    problem: Problem = Field(description="What the model predicts")
    classes: tuple[str | int | float | bool, ...] = Field(
        default=(), description="The classes in the order of the scores; empty: 0, 1, …, or no classes"
    )
    label: str | None = Field(default=None, description="Column of the golden rows that contains the ground truth")
    entity: str | None = Field(
        default=None, description="Column of a row that identifies what it is about; rows may have it beside features"
    )
    event_time: str | None = Field(
        default=None, description="Column of a row with its time; rows may have it beside the features"
    )


class Trigger(Value):
    """Why a version was made."""

    kind: str = Field(
        description="drift, request, re-registration, manual, reconciler or again (judge it again, with a reason)"
    )
    event_id: str | None = Field(default=None, description="The event that caused it")
    reason: str | None = Field(default=None, description="The reason, in words")
    by: str | None = Field(default=None, description="The person who wants it, where known: they cannot approve it")


class TrainingRequested(Event):
    """Request a new version. Without a window, the newest complete one of the recipe is trained."""

    type: ClassVar[str] = "gauntlet.TrainingRequested.v1"
    topic: ClassVar[str] = "training"

    window: str | None = Field(default=None, description="One of the recipe's windows, or FIRST..LAST")
    from_run: str | None = Field(
        default=None, description="Register the model of this earlier MLflow run again, without a training"
    )
    reason: str = Field(default="requested", description="Why a version is wanted")
    requested_by: str | None = Field(default=None, description="Who wants it")


class TrainingFailed(Event):
    """A training ended without a version; the reason is the last line of its traceback."""

    type: ClassVar[str] = "gauntlet.TrainingFailed.v1"
    topic: ClassVar[str] = "training"

    job_id: str = Field(description="The trainer's job, see GET /jobs/{job_id}")
    reason: str = Field(description="The last line of the traceback")
    window: str | None = Field(default=None, description="The window that was to be trained")
    trigger: Trigger | None = Field(default=None, description="Why it was trained")


class ModelRegistered(Event):
    """A version is in MLflow. Only name and version are required: the gatekeeper reads the others from MLflow."""

    type: ClassVar[str] = "gauntlet.ModelRegistered.v1"
    topic: ClassVar[str] = "model-registered"
    headers_optional: ClassVar[bool] = True

    model_version: ModelVersion
    run_id: str | None = Field(default=None, description="The MLflow run that logged the model")
    artifact_uri: str | None = Field(default=None, description="Where the model is")
    artifact_digest: str | None = Field(default=None, description="SHA-256 of the model's files")
    training: Dataset | None = Field(default=None, description="The training rows")
    evaluation: Dataset | None = Field(default=None, description="The golden rows, with labels")
    reference: Dataset | None = Field(default=None, description="The rows that production is compared with for drift")
    training_keys: Dataset | None = Field(default=None, description="Keys of the training rows, for the gate leakage")
    code_version: str | None = Field(default=None, description="Commit, or version, of the training code")
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict, description="Metrics that the run logged")
    trigger: Trigger | None = Field(default=None, description="Why it was made")


class GateResult(Event):
    """What GatePassed and GateFailed carry: one verdict a gate, and what they were reached with."""

    model_version: ModelVersion
    candidate_id: str = Field(description="The gatekeeper's id, see GET /candidates/{candidate_id}")
    outcome: Outcome = Field(description="Of all gates together")
    reason: str = Field(description="Why, in a sentence")
    artifact_uri: str = Field(description="Where the model is")
    artifact_digest: str | None = Field(default=None, description="SHA-256 of the model's files")
    champion_version: ModelVersion | None = Field(default=None, description="The champion it was compared with")
    policy_digest: str = Field(description="Digest of the policy that was in force")
    strategy: str = Field(default="direct", description="How it becomes champion")
    verdicts: tuple[GateVerdict, ...] = Field(default=(), description="One verdict per gate, in their order")


class GatePassed(GateResult):
    """A candidate has passed every gate of its policy: it is the challenger."""

    type: ClassVar[str] = "gauntlet.GatePassed.v1"
    topic: ClassVar[str] = "gate-passed"
    signed: ClassVar[bool] = True

    serving_artifact: ServingArtifact | None = Field(default=None, description="What it is served with")
    output: OutputFormat | None = Field(
        default=None, description="How its predictions are read; absent: as its model declares"
    )


class GateFailed(GateResult):
    """A candidate has failed a gate, or a gate was inconclusive."""

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
    """This version is the champion from this epoch on; the highest epoch of a model is in force."""

    type: ClassVar[str] = "gauntlet.Promoted.v1"
    topic: ClassVar[str] = "promoted"
    signed: ClassVar[bool] = True

    model_version: ModelVersion
    epoch: int = Field(
        ge=1,
        le=LARGEST_INTEGER,
        description="Number of the promotion, per model; readers ignore lower ones that arrive late. Of two events "
        "with the same one, the later on the topic is in force: it is the one that compaction keeps",
    )
    artifact_uri: str = Field(description="Where the model is")
    artifact_digest: str = Field(description="SHA-256 of the model's files")
    serving_artifact: ServingArtifact | None = Field(default=None, description="What it is served with")
    previous_version: ModelVersion | None = Field(default=None, description="The champion before")
    cause: Cause = Field(description="What led to the promotion")
    actor: str = Field(description="Who decided: a person, or the gatekeeper")
    reason: str = Field(default="", description="Why, in a sentence")
    evidence_id: str | None = Field(default=None, description="The candidate whose evidence it rests on")
    metric: str | None = Field(default=None, description="The metric of the policy")
    baseline: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="The version's metrics on its golden rows, to which production is compared"
    )
    reference: Dataset | None = Field(default=None, description="The rows that production is compared with for drift")
    output: OutputFormat | None = Field(
        default=None, description="How its predictions are read; absent: as its model declares"
    )
    golden_predictions: Dataset | None = Field(
        default=None, description="Golden rows with their labels and the version's predictions, as a Parquet file"
    )
    importance: dict[str, FiniteFloat] = Field(
        default_factory=dict,
        description="By how much `metric` on the golden rows is worse when the values of a column are permuted",
    )


class LoadReport(Event):
    model_version: ModelVersion
    epoch: int | None = Field(
        default=None, ge=1, le=LARGEST_INTEGER, description="None for a challenger on a staging replica"
    )
    replica: str = Field(description="Name of the replica (SERVING_REPLICA)")
    role: str = Field(description="production or staging")
    seconds: FiniteFloat = Field(ge=0, description="From the arrival of the event to the swap, or to the failure")
    rollout_id: str | None = Field(
        default=None, description="Set for the version that a rollout tries: it is loaded beside the champion"
    )


class ModelLoaded(LoadReport):
    """A replica has loaded this version and predicts with it."""

    type: ClassVar[str] = "gauntlet.ModelLoaded.v1"
    topic: ClassVar[str] = "serving-status"

    artifact_digest: str = Field(description="SHA-256 of the model's files")


class ModelLoadFailed(LoadReport):
    """A replica could not load this version; it continues with the one it has."""

    type: ClassVar[str] = "gauntlet.ModelLoadFailed.v1"
    topic: ClassVar[str] = "serving-status"

    reason: str = Field(description="The error")
    permanent: bool = Field(default=False, description="The replica does not try again")
