"""What of a model needs somebody, and in which order people should look at it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from contracts import Result

RECENT = timedelta(days=7)
"""What failed earlier is in the history of its model, and no longer on the first page."""
LOADING = timedelta(minutes=2)
"""Time that replicas have for loading a new champion before they are said to lag."""
TRAINING = timedelta(hours=6)
"""Time after a drift that decides until a version is expected to come of it."""
SOON = timedelta(hours=2)
"""An approval that expires within it comes before everything but replicas without the champion."""
NEVER = datetime.max.replace(tzinfo=UTC)
UNWANTED = frozenset({Result.ABORTED, Result.REFUSED, Result.EXPIRED, Result.ROLLED_BACK})
"""Results of a rollout that somebody should know of; kept and superseded are what a policy expects."""


class Severity(IntEnum):
    """The smallest comes first."""

    NOW = 0
    """Users get predictions of another version than the champion, or a decision is about to expire."""
    DECIDE = 1
    """Something waits for a person."""
    LOOK = 2
    """Something ended badly, and nothing waits for it."""


class Kind(StrEnum):
    """What an item is about; also its class in the page."""

    LAGGING = "lagging"
    LOAD_FAILED = "load failed"
    APPROVAL = "approval"
    ROLLOUT = "rollout"
    TRAINING = "training"
    DRIFT = "drift"
    HELD = "held"
    JOB = "job"
    DEAD_LETTERS = "dead letters"
    NOTIFICATIONS = "notifications"


@dataclass(frozen=True)
class Item:
    """Something that needs somebody. `subject`: id of a rollout or job, names of replicas, or a target of messages.

    `model_name`: "" for what is of no model, or of several.
    """

    kind: Kind
    severity: Severity
    model_name: str
    model_version: int | None
    at: datetime
    reason: str
    subject: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Approval:
    """A rollout that waits for people."""

    rollout_id: str
    model_version: int
    since: datetime
    expires_at: datetime
    people: int
    given: int


@dataclass(frozen=True)
class EndedRollout:
    """The rollout of a model that ended last with one of UNWANTED."""

    rollout_id: str
    model_version: int
    result: Result
    ended_at: datetime
    reason: str


@dataclass(frozen=True)
class FailedTraining:
    job_id: str
    at: datetime
    reason: str
    window: str | None = None


@dataclass(frozen=True)
class Drift:
    """The last drift of a model. `trains`: whether it leads to a training by itself."""

    at: datetime
    model_version: int
    kind: str
    reason: str
    harm: str | None = None
    trains: bool = False
    window_id: str | None = None


@dataclass(frozen=True)
class Loaded:
    """What a replica last said of the model."""

    replica: str
    production: bool
    epoch: int | None
    loaded_at: datetime | None
    failed_version: int | None = None
    failed_at: datetime | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Quarantined:
    """The newest version that only a person can have promoted."""

    model_version: int
    since: datetime
    why: str


@dataclass(frozen=True)
class Passed:
    """The version that passed its gates since the champion was promoted."""

    model_version: int
    judged_at: datetime


@dataclass(frozen=True)
class FailedJob:
    """A job that failed, and that no later one of its kind and model made good."""

    job_id: str
    kind: str
    at: datetime
    error: str


@dataclass(frozen=True)
class Standing:
    """What is known of a model."""

    model_name: str
    champion_version: int | None = None
    epoch: int = 0
    champion_since: datetime | None = None
    frozen: bool = False
    rollout_of: int | None = None
    """The version of the rollout that is running."""
    approval: Approval | None = None
    ended: EndedRollout | None = None
    training: FailedTraining | None = None
    registered_at: datetime | None = None
    """When the newest version was registered."""
    drift: Drift | None = None
    replicas: tuple[Loaded, ...] = ()
    passed: Passed | None = None
    quarantined: Quarantined | None = None
    jobs: tuple[FailedJob, ...] = ()


def needs(model: Standing, now: datetime) -> list[Item]:
    """Return what of one model needs somebody, in no order."""
    found = [_replicas(model, now), _approval(model, now), _ended(model, now), _training(model, now)]
    found += [_drift(model, now), _held(model, now), *(_job(model, job, now) for job in model.jobs)]
    return [item for item in found if item is not None]


def ranked(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return what should be looked at first first: by severity, then what expires, then what is newest."""
    return tuple(
        sorted(
            items,
            key=lambda item: (
                item.severity,
                item.expires_at or NEVER,
                -item.at.timestamp(),
                item.model_name,
                item.kind,
                item.subject,
            ),
        )
    )


def lags(replica: Loaded, epoch: int) -> bool:
    """Whether a replica of production does not predict with the champion of this epoch."""
    return replica.production and (replica.epoch or 0) < epoch


def _replicas(model: Standing, now: datetime) -> Item | None:
    if model.champion_since is None or model.champion_version is None:
        return None
    behind = [each for each in model.replicas if lags(each, model.epoch)]
    failed = [each for each in behind if each.failed_version == model.champion_version and each.failed_at is not None]
    if not behind or (not failed and now - model.champion_since < LOADING):
        return None
    of = sum(each.production for each in model.replicas)
    what = f"{len(behind)} of {of} production replicas do not have v{model.champion_version} (epoch {model.epoch})"
    if failed:
        last = max(failed, key=lambda each: each.failed_at or now)
        what += f"; {last.replica} could not load it: {last.failure}"
    at = max((each.failed_at for each in failed if each.failed_at), default=model.champion_since)
    return Item(
        Kind.LOAD_FAILED if failed else Kind.LAGGING,
        Severity.NOW,
        model.model_name,
        model.champion_version,
        at,
        what,
        ", ".join(sorted(each.replica for each in behind)),
    )


def _approval(model: Standing, now: datetime) -> Item | None:
    waits = model.approval
    if waits is None:
        return None
    missing = waits.people - waits.given
    return Item(
        Kind.APPROVAL,
        Severity.NOW if waits.expires_at - now < SOON else Severity.DECIDE,
        model.model_name,
        waits.model_version,
        waits.since,
        f"v{waits.model_version} has proved itself and waits for {missing} of {waits.people} people",
        waits.rollout_id,
        waits.expires_at,
    )


def _ended(model: Standing, now: datetime) -> Item | None:
    ended = model.ended
    if ended is None or ended.result not in UNWANTED or now - ended.ended_at > RECENT:
        return None
    if ended.result is not Result.ROLLED_BACK and model.champion_since and model.champion_since > ended.ended_at:
        return None  # the model has a new champion since
    what = f"the rollout of v{ended.model_version} was {ended.result.value}: {ended.reason}"
    if ended.result is Result.ROLLED_BACK:
        what = f"v{ended.model_version} was rolled back: {ended.reason}"
    if ended.result is Result.EXPIRED:
        what = f"the rollout of v{ended.model_version} expired: {ended.reason}"
    return Item(
        Kind.ROLLOUT, Severity.LOOK, model.model_name, ended.model_version, ended.ended_at, what, ended.rollout_id
    )


def _training(model: Standing, now: datetime) -> Item | None:
    failed = model.training
    if failed is None or now - failed.at > RECENT or _since(model.registered_at, failed.at):
        return None
    of = f" on {failed.window}" if failed.window else ""
    what = f"the training{of} failed: {failed.reason}"
    return Item(Kind.TRAINING, Severity.LOOK, model.model_name, None, failed.at, what, failed.job_id)


def _drift(model: Standing, now: datetime) -> Item | None:
    """A drift needs somebody if nothing comes of it by itself: a version, or a training that fails."""
    drift = model.drift
    if drift is None or drift.model_version != model.champion_version or drift.harm == "benign":
        return None
    answered = _since(model.registered_at, drift.at) or (model.training and _since(model.training.at, drift.at))
    if answered or now - drift.at > RECENT or (drift.trains and now - drift.at < TRAINING):
        return None
    hours = TRAINING // timedelta(hours=1)
    why = f"no version came of it in {hours} h" if drift.trains else "it leads to no training by itself"
    what = f"{drift.kind} drift of v{drift.model_version}, and {why}: {drift.reason}"
    return Item(Kind.DRIFT, Severity.LOOK, model.model_name, drift.model_version, drift.at, what, drift.window_id or "")


def _held(model: Standing, now: datetime) -> Item | None:
    """A version that only a person can have promoted, and that is newer than the champion."""
    passed, out = model.passed, model.quarantined
    if passed is not None and model.frozen and model.rollout_of != passed.model_version:
        what = f"v{passed.model_version} passed its gates, and the model is frozen: a person decides"
        return Item(
            Kind.HELD, Severity.DECIDE, model.model_name, passed.model_version, passed.judged_at, what, "frozen"
        )
    if out is None or now - out.since > RECENT or out.model_version <= (model.champion_version or 0):
        return None
    if model.ended is not None and model.ended.model_version == out.model_version:
        return None  # its rollout says so
    what = f"v{out.model_version} is quarantined: {out.why}"
    return Item(Kind.HELD, Severity.LOOK, model.model_name, out.model_version, out.since, what, "quarantine")


def _job(model: Standing, job: FailedJob, now: datetime) -> Item | None:
    if now - job.at > RECENT:
        return None
    what = f"the job {job.kind} failed: {job.error}"
    return Item(Kind.JOB, Severity.LOOK, model.model_name, None, job.at, what, job.job_id)


def _since(when: datetime | None, then: datetime) -> bool:
    return when is not None and when >= then
