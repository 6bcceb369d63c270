"""What the methods return: the parts of the services' responses that programs use, typed; the rest is kept as it is.

A field that a newer service adds is an attribute, too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts import GateVerdict


class Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Promotion(Result):
    """One epoch of a model. `cause`: gate, trial, tournament, approval, rollback or override."""

    model_name: str
    model_version: int
    epoch: int
    previous_version: int | None
    cause: str
    actor: str
    reason: str
    promoted_at: datetime


class Candidate(Result):
    """A version that was registered, and what came of it.

    `state`: registered, gating, waiting, passed, failed, inconclusive or superseded. `quarantine`: why only a person
    can have it promoted, or None.
    """

    id: str
    model_name: str
    model_version: int
    state: str
    reason: str | None
    judgement: int
    champion_version: int | None
    metrics: dict[str, float]
    registered_at: datetime
    judged_at: datetime | None
    epochs: list[int]
    quarantine: str | None = None


class Registration(Result):
    """One ModelRegistered of a version; `judgement` and `kept` are None until it is decided."""

    event_id: str
    at: datetime
    judgement: int | None
    kept: str | None


class Verdict(Candidate):
    """A candidate whole: the verdict of each gate, and what it rests on."""

    policy_digest: str | None
    verdicts: list[GateVerdict]
    evidence: dict[str, Any]
    registrations: list[Registration]


class Replica(Result):
    """What a serving replica last said of a model."""

    replica: str
    role: str
    model_version: int | None
    epoch: int | None
    lagging: bool


class Model(Result):
    """A model: its champion, the version that passed since, and whether people have stopped promotions."""

    model_name: str
    champion: Promotion | None
    challenger: Candidate | None
    frozen: bool
    frozen_by: str | None
    frozen_reason: str | None
    policy_digest: str | None
    candidates: dict[str, int]
    replicas: list[Replica]


class Freeze(Result):
    """Whether gates may promote versions of a model, and who decided that."""

    model_name: str
    frozen: bool
    actor: str
    reason: str


class Rollout(Result):
    """A version on its way to champion.

    `stage`: staging, shadow, canary, ab, approval, watch or ended. `result`: promoted, rolled back, aborted, kept,
    refused, expired or superseded; None while it runs. `verdict_digest`: of everything that is approved.
    """

    rollout_id: str
    model_name: str
    challenger_version: int
    champion_version: int | None
    stage: str
    step: int
    steps: list[dict[str, Any]]
    share: float
    began_at: datetime
    ended_at: datetime | None
    result: str | None
    reason: str
    verdict_digest: str
    waits_for: str | None
    people_needed: int
    expires_at: datetime | None


class FleetReplica(Result):
    """What a serving replica has loaded of a model, and what it should have."""

    replica: str
    role: str
    desired_version: int | None
    loaded_version: int | None
    lagging: bool
    lag_seconds: float | None


class Fleet(Result):
    """The replicas of a model, and the champion that each should have."""

    model_name: str
    champion_version: int | None
    champion_epoch: int | None
    replicas: list[FleetReplica]


class Prediction(Result):
    """Of one row. `scores`: of each class, for a problem of several; `model_version`: while two versions answer."""

    label: Any
    score: float | None
    scores: dict[str, float] | None = None
    model_version: int | None = None


class Predictions(Result):
    """`request_id` and the number of the row name a prediction, for feedback. `epoch`: None of a version on trial."""

    model_name: str
    model_version: int
    epoch: int | None
    request_id: str
    predictions: list[Prediction]


class Feedback(Result):
    """Kafka has all of the items."""

    model_name: str
    accepted: int


class Waited(Result):
    """What came of a version.

    `outcome`: passed, failed, inconclusive, superseded; with for_="promotion" promoted instead of passed, or why it is
    not champion: aborted, kept, refused, expired, rolled back or quarantined. `ok`: passed, or promoted.
    `kept`: why the registration that was waited for led to no new verdict; None if it did.
    """

    outcome: str
    reason: str | None
    verdict: Verdict
    rollout: Rollout | None = None
    kept: str | None = None

    @property
    def ok(self) -> bool:
        return self.outcome in ("passed", "promoted")
