"""The read model of the first page: what needs somebody, and a line a model, in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, exists, func, literal, select, union_all
from sqlalchemy.orm import Session, aliased, load_only

from chassis.jobs import DONE, FAILED, JobRow
from contracts import DriftDetected, DriftKind, Harm, ModelRegistered, Result, Stage, TrainingFailed
from contracts.policy import ModelPolicy
from gatekeeper.database import dead_letters, notifications, queries, rollouts
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.model_rows import ModelRows, listed, rows_of
from gatekeeper.database.rollout_tables import GIVEN, ApprovalRow, RolloutRow
from gatekeeper.database.tables import CandidateRow, ReplicaRow
from gatekeeper.policy import attention, undelivered
from gatekeeper.policy.attention import RECENT, UNWANTED, Item

MOST_FAILED = 200
"""Failed jobs that are read, the newest first."""
LAST_EVENTS = (DriftDetected, TrainingFailed, ModelRegistered)


@dataclass(frozen=True)
class ChampionLine:
    """`since`: when this epoch was decided; `cause` as in Promoted."""

    model_version: int
    epoch: int
    since: datetime
    cause: str
    actor: str


@dataclass(frozen=True)
class ChallengerLine:
    """The newest version that passed its gates since the champion was promoted, and was not promoted."""

    model_version: int
    judged_at: datetime | None
    quarantine: str | None


@dataclass(frozen=True)
class RolloutLine:
    """The rollout that is running. `step` counts from 1 to `steps`; `stage` as in contracts.Stage.

    `people` and `given` are of the stage approval: how many must approve, and how many have. `expires_at`: when a
    stage of limited time ends by itself.
    """

    rollout_id: str
    model_version: int
    stage: str
    step: int
    steps: int
    share: float
    began_at: datetime
    step_began_at: datetime
    expires_at: datetime | None
    people: int
    given: int


@dataclass(frozen=True)
class DriftLine:
    """The last drift of the model. `kind` as in DriftKind; `harm` as in Harm, None where it was not estimated."""

    at: datetime
    model_version: int
    kind: str
    reason: str
    harm: str | None
    window_id: str | None


@dataclass(frozen=True)
class FleetLine:
    """The replicas of production and staging; `lagging`: names of those of production without the champion."""

    production: int
    staging: int
    loaded: int
    """Of those of production, how many have the champion."""
    lagging: tuple[str, ...]
    failure: str | None
    """Of the last failed load of a lagging replica."""


@dataclass(frozen=True)
class ModelLine:
    """A model. `counts`: versions by state; `gated`: whether a policy names it, so that gates can promote."""

    model_name: str
    champion: ChampionLine | None
    challenger: ChallengerLine | None
    rollout: RolloutLine | None
    drift: DriftLine | None
    fleet: FleetLine
    frozen: bool
    frozen_by: str | None
    frozen_reason: str | None
    counts: Mapping[str, int]
    gated: bool


@dataclass(frozen=True)
class Overview:
    """`needs`: what to look at first is first. `models`: by name."""

    needs: tuple[Item, ...]
    models: tuple[ModelLine, ...]


def overview(
    session: Session,
    policies: Mapping[str, ModelPolicy],
    sees: Callable[[str], bool],
    now: datetime,
    *,
    everything: bool = False,
) -> Overview:
    """Return the first page of a caller who may read the models of which `sees` is true.

    `everything`: who may read all models also sees what is of no model.
    """
    visible = set(filter(sees, queries.model_names(session) | policies.keys()))
    names = sorted(visible)
    rows = rows_of(session, names, events=False)
    running = _running(session, names)
    given = _given(session, running.values())
    ended, events = _ended(session, visible, now), _last_events(session, names)
    quarantined, jobs = _quarantined(session, names), _failed_jobs(session, visible, now)
    models = []
    needs = undelivered.letters(dead_letters.unhandled(session, None if everything else names))
    if everything:
        needs += undelivered.notifications(notifications.given_up(session, now - RECENT))
    for name in names:
        rollout = _rollout_line(running[name], given) if name in running else None
        drift = _drift(events.get((name, DriftDetected.__name__)), policies.get(name))
        standing = _standing(
            rows[name], rollout, drift, ended.get(name), events, quarantined.get(name), tuple(jobs[name])
        )
        needs += attention.needs(standing, now)
        models.append(_line(rows[name], standing, rollout, drift, gated=name in policies))
    return Overview(attention.ranked(needs), tuple(models))


def _line(
    rows: ModelRows,
    standing: attention.Standing,
    rollout: RolloutLine | None,
    drift: attention.Drift | None,
    *,
    gated: bool,
) -> ModelLine:
    champion, challenger, model = rows.champion, rows.challenger, rows.model
    return ModelLine(
        model_name=rows.name,
        champion=None
        if champion is None
        else ChampionLine(champion.model_version, champion.epoch, champion.promoted_at, champion.cause, champion.actor),
        challenger=None
        if challenger is None
        else ChallengerLine(challenger.model_version, challenger.judged_at, challenger.quarantine),
        rollout=rollout,
        drift=None
        if drift is None
        else DriftLine(drift.at, drift.model_version, drift.kind, drift.reason, drift.harm, drift.window_id),
        fleet=_fleet(standing),
        frozen=standing.frozen,
        frozen_by=model.frozen_by if model else None,
        frozen_reason=model.frozen_reason if model else None,
        counts=rows.counts,
        gated=gated,
    )


def _standing(
    rows: ModelRows,
    rollout: RolloutLine | None,
    drift: attention.Drift | None,
    ended: attention.EndedRollout | None,
    events: Mapping[tuple[str, str], EventLogRow],
    quarantined: attention.Quarantined | None,
    jobs: tuple[attention.FailedJob, ...],
) -> attention.Standing:
    champion, challenger, name = rows.champion, rows.challenger, rows.name
    registered = events.get((name, ModelRegistered.__name__))
    waits = rollout is not None and rollout.stage == Stage.APPROVAL
    return attention.Standing(
        model_name=name,
        champion_version=champion.model_version if champion else None,
        epoch=champion.epoch if champion else 0,
        champion_since=champion.promoted_at if champion else None,
        frozen=rows.model is not None and rows.model.frozen_at is not None,
        rollout_of=rollout.model_version if rollout else None,
        approval=_approval(rollout) if rollout is not None and waits else None,
        ended=ended,
        training=_training(events.get((name, TrainingFailed.__name__))),
        registered_at=registered.at if registered else None,
        drift=drift,
        replicas=tuple(map(_loaded, rows.replicas)),
        passed=None
        if challenger is None or challenger.judged_at is None
        else attention.Passed(challenger.model_version, challenger.judged_at),
        quarantined=quarantined,
        jobs=jobs,
    )


def _fleet(standing: attention.Standing) -> FleetLine:
    production = [each for each in standing.replicas if each.production]
    lagging = [each for each in production if attention.lags(each, standing.epoch)]
    failures = [each.failure for each in lagging if each.failed_version == standing.champion_version]
    return FleetLine(
        len(production),
        len(standing.replicas) - len(production),
        len(production) - len(lagging),
        tuple(each.replica for each in lagging),
        next(filter(None, failures), None),
    )


def _loaded(row: ReplicaRow) -> attention.Loaded:
    return attention.Loaded(
        row.replica,
        row.role == "production",
        row.epoch,
        row.loaded_at,
        row.failed_version,
        row.failed_at,
        row.failure,
    )


def _running(session: Session, names: Collection[str]) -> dict[str, RolloutRow]:
    columns = ("id", "model_name", "model_version", "plan", "step", "stage", "began_at", "step_began_at", "ended_at")
    shown = [getattr(RolloutRow, name) for name in (*columns, "verdict_digest")]
    query = select(RolloutRow).where(
        RolloutRow.ended_at.is_(None), RolloutRow.model_name.in_(select(listed(session, names).c.value))
    )
    return {row.model_name: row for row in session.scalars(query.options(load_only(*shown, raiseload=True)))}


def _given(session: Session, running: Collection[RolloutRow]) -> dict[str, int]:
    """Return how many people have approved each rollout that waits for them, on its evidence as it is now."""
    waiting = {row.id: row.verdict_digest for row in running if row.stage == Stage.APPROVAL}
    query = select(ApprovalRow.rollout_id, ApprovalRow.verdict_digest, func.count())
    query = query.join(given := listed(session, waiting), ApprovalRow.rollout_id == given.c.value)
    query = query.where(ApprovalRow.decision == GIVEN).group_by(ApprovalRow.rollout_id, ApprovalRow.verdict_digest)
    return {row_id: count for row_id, digest, count in session.execute(query) if waiting[row_id] == digest}


def _rollout_line(row: RolloutRow, given: Mapping[str, int]) -> RolloutLine:
    plan = rollouts.plan_of(row)
    step = plan[row.step]
    return RolloutLine(
        rollout_id=row.id,
        model_version=row.model_version,
        stage=row.stage,
        step=row.step + 1,
        steps=len(plan),
        share=step.share,
        began_at=row.began_at,
        step_began_at=row.step_began_at,
        expires_at=rollouts.expires_at(row),
        people=step.people,
        given=given.get(row.id, 0),
    )


def _approval(rollout: RolloutLine) -> attention.Approval:
    assert rollout.expires_at is not None, "an approval has a limit"
    return attention.Approval(
        rollout.rollout_id,
        rollout.model_version,
        rollout.step_began_at,
        rollout.expires_at,
        rollout.people,
        rollout.given,
    )


def _ended(session: Session, names: Set[str], now: datetime) -> dict[str, attention.EndedRollout]:
    """Return of each model the rollout that ended last, of those that ended lately and as nobody wanted."""
    columns = (RolloutRow.id, RolloutRow.model_name, RolloutRow.model_version, RolloutRow.result, RolloutRow.ended_at)
    query = select(*columns, RolloutRow.reason).where(
        RolloutRow.ended_at >= now - RECENT,
        RolloutRow.result.in_(sorted(UNWANTED)),
    )
    return {
        row.model_name: attention.EndedRollout(row.id, row.model_version, Result(row.result), row.ended_at, row.reason)
        for row in session.execute(query.order_by(RolloutRow.ended_at))
        if row.model_name in names
    }


def _last_events(session: Session, names: Collection[str]) -> dict[tuple[str, str], EventLogRow]:
    """Return the last drift, failed training and registration of each model."""
    given = listed(session, names)
    kinds = union_all(*(select(literal(event.__name__, String).label("type")) for event in LAST_EVENTS)).subquery()
    each = aliased(EventLogRow)
    newest = select(func.max(each.id)).where(each.model_name == given.c.value, each.type == kinds.c.type)
    query = select(EventLogRow).select_from(given).join(kinds, literal(1) == 1)
    query = query.join(EventLogRow, EventLogRow.id == newest.scalar_subquery())
    return {(row.model_name, row.type): row for row in session.scalars(query)}


def _training(row: EventLogRow | None) -> attention.FailedTraining | None:
    if row is None:
        return None
    return attention.FailedTraining(row.data["job_id"], row.at, row.data["reason"], row.data.get("window"))


def _drift(row: EventLogRow | None, policy: ModelPolicy | None) -> attention.Drift | None:
    if row is None:
        return None
    data, estimate = row.data, row.data.get("harm")
    harm = None if estimate is None else str(estimate["harm"])
    decides = data["kind"] in (DriftKind.DATA, DriftKind.PERFORMANCE) and not data.get("proxy", False)
    trains = decides and policy is not None and policy.recipe is not None
    if trains and policy is not None and data["kind"] == DriftKind.DATA and policy.drift.retrain == "on harmful":
        trains = harm == Harm.HARMFUL
    return attention.Drift(
        row.at, data["model_version"], data["kind"], data["reason"], harm, trains, data["window"]["id"]
    )


def _quarantined(session: Session, names: Collection[str]) -> dict[str, attention.Quarantined]:
    """Return of each model the newest version that only a person can have promoted."""
    given, each = listed(session, names), aliased(CandidateRow)
    newest = select(func.max(each.model_version)).where(each.model_name == given.c.value, each.quarantine.is_not(None))
    columns = (CandidateRow.model_name, CandidateRow.model_version, CandidateRow.quarantine, CandidateRow.judged_at)
    query = select(*columns, CandidateRow.registered_at).select_from(given)
    query = query.join(CandidateRow, CandidateRow.model_name == given.c.value)
    query = query.where(CandidateRow.model_version == newest.scalar_subquery())
    return {
        row.model_name: attention.Quarantined(row.model_version, row.judged_at or row.registered_at, row.quarantine)
        for row in session.execute(query)
    }


def _failed_jobs(session: Session, names: Set[str], now: datetime) -> dict[str, list[attention.FailedJob]]:
    """Return the jobs of each model that failed lately, and of which none of their kind has ended well since."""
    good = aliased(JobRow)
    made_good = exists().where(
        good.key == JobRow.key, good.kind == JobRow.kind, good.state == DONE, good.sequence > JobRow.sequence
    )
    query = select(JobRow.id, JobRow.kind, JobRow.key, JobRow.error, JobRow.ended_at).where(
        JobRow.state == FAILED, JobRow.ended_at >= now - RECENT, ~made_good
    )
    found: dict[str, list[attention.FailedJob]] = defaultdict(list)
    seen = set()
    for row in session.execute(query.order_by(JobRow.ended_at.desc()).limit(MOST_FAILED)):
        if row.key in names and (row.kind, row.key) not in seen:
            seen.add((row.kind, row.key))
            error = (row.error or "").strip().splitlines()
            found[row.key].append(attention.FailedJob(row.id, row.kind, row.ended_at, error[-1] if error else ""))
    return found
