"""The registrations of each version, and its earlier verdicts. Every function uses the caller's session."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.telemetry import get_logger
from contracts import Envelope, ModelRegistered
from gatekeeper.database import queries
from gatekeeper.database.job_kinds import GATE
from gatekeeper.database.recorder import ACTOR
from gatekeeper.database.tables import (
    GATING,
    REGISTERED,
    UNJUDGED,
    WAITING,
    CandidateRow,
    EarlierVerdictRow,
    RegistrationRow,
    VerdictRow,
)
from gatekeeper.policy.registration import AGAIN
from gatekeeper.refusals import CommandRefused

log = get_logger(__name__)

MOST_KEPT = 100
"""Registrations of one version that are kept: a publisher that repeats itself must not fill the database."""


class OwnApproval(CommandRefused):
    """Who registered a version wanted to approve or to promote it."""


def add(session: Session, row: CandidateRow, envelope: Envelope[ModelRegistered], judgement: int | None) -> bool:
    """Add a registration of this version, once per event; False when it is known. `judgement`: that it leads to."""
    if session.get(RegistrationRow, (envelope.source, envelope.id)) is not None:
        return False
    session.add(
        RegistrationRow(
            source=envelope.source,
            event_id=envelope.id,
            candidate_id=row.id,
            event=envelope.model_dump(mode="json"),
            at=envelope.time,
            judgement=judgement,
        )
    )
    session.flush()
    _prune(session, row.id)
    return True


def undecided(session: Session, candidate_id: str) -> list[RegistrationRow]:
    """Registrations of which is not decided whether the version is judged again, oldest first."""
    query = select(RegistrationRow).where(
        RegistrationRow.candidate_id == candidate_id,
        RegistrationRow.judgement.is_(None),
        RegistrationRow.kept.is_(None),
    )
    return list(session.scalars(query.order_by(RegistrationRow.at, RegistrationRow.event_id)))


def newest(session: Session, candidate_id: str, limit: int = MOST_KEPT) -> Sequence[RegistrationRow]:
    query = select(RegistrationRow).where(RegistrationRow.candidate_id == candidate_id)
    return session.scalars(query.order_by(RegistrationRow.at.desc(), RegistrationRow.event_id).limit(limit)).all()


def earlier_verdicts(session: Session, candidate_id: str) -> Sequence[EarlierVerdictRow]:
    """Newest first."""
    query = select(EarlierVerdictRow).where(EarlierVerdictRow.candidate_id == candidate_id)
    return session.scalars(query.order_by(EarlierVerdictRow.judgement.desc())).all()


def envelope_of(row: RegistrationRow) -> Envelope[ModelRegistered]:
    return Envelope[ModelRegistered].model_validate(row.event)


def requested_again(envelope: Envelope[ModelRegistered]) -> bool:
    return envelope.data.trigger is not None and envelope.data.trigger.kind == AGAIN


def judge_again(session: Session, row: CandidateRow, envelope: Envelope[ModelRegistered], why: str) -> None:
    """Begin another judgement of a version that has a verdict, which stays as an earlier one."""
    _archive(session, row)
    row.state, row.gating_at = GATING, datetime.now(UTC)
    row.judgement += 1
    if requested_again(envelope):  # a person wants it, with a reason
        row.quarantine = None
    row.event = envelope.model_dump(mode="json")
    for each in undecided(session, row.id):
        each.judgement = row.judgement
    queries.add_audit(
        session,
        "judged again",
        row.model_name,
        row.model_version,
        actor=ACTOR,
        reason=f"{by_whom(envelope.data)}; {why}",
        evidence={"candidate_id": row.id, "judgement": row.judgement, "event_id": envelope.id},
        correlation_id=envelope.correlation_id,
    )


def keep(session: Session, row: CandidateRow, seen: Collection[str], why: str) -> bool:
    """Record that the verdict stands, for the registrations `seen` (event ids); False when there are others by now."""
    queries.lock(session, row.model_name)
    others = False
    for each in undecided(session, row.id):
        if each.event_id in seen:
            each.kept = why
        else:
            others = True
    log.info("not judged again", candidate=row.id, reason=why)
    return not others


def wait(session: Session, row: CandidateRow, what: str) -> None:
    """Record what a version waits for: it has no verdict yet."""
    if row.state in UNJUDGED:
        row.state, row.reason = WAITING, f"waiting for: {what}"
        log.info("candidate waits", candidate=row.id, reason=row.reason)


def waiting(session: Session) -> Sequence[CandidateRow]:
    """Return the versions that wait, of all models."""
    query = select(CandidateRow).where(CandidateRow.state == WAITING)
    return session.scalars(query.order_by(CandidateRow.registered_at)).all()


def resume(session: Session, jobs: Jobs, row: CandidateRow, cause: Envelope[ModelRegistered] | None = None) -> None:
    """Enqueue the gate job of a version that waited; `cause`: a newer registration, which replaces the earlier one."""
    if row.state == WAITING:
        row.state, row.reason = REGISTERED, None
        if cause is not None:
            row.event = cause.model_dump(mode="json")
        cause = cause or queries.envelope_of(row)
        jobs.enqueue(session, kind=GATE, key=row.model_name, payload={"candidate_id": row.id}, cause=cause)


def require_other(session: Session, row: CandidateRow, actor: str, verb: str) -> None:
    """Raises OwnApproval if `actor` is known to have registered or logged the version; `verb`: approve or promote."""
    registered_by = set(row.registered_by or ())
    for each in newest(session, row.id):
        trigger = envelope_of(each).data.trigger
        if trigger is not None and trigger.by:
            registered_by.add(trigger.by)
    if known(actor, registered_by):
        raise OwnApproval(
            f"{actor} cannot {verb} {row.model_name} v{row.model_version}: it was registered or logged by"
            f" {', '.join(sorted(registered_by))}; another person must {verb} it"
        )


def known(actor: str, people: Collection[str]) -> bool:
    """Return whether `actor` is one of `people`, whatever the case of the letters."""
    return actor.strip().casefold() in {each.strip().casefold() for each in people}


def by_whom(event: ModelRegistered) -> str:
    trigger = event.trigger
    if trigger is None:
        return "registered by an event"
    return f"registered after {trigger.kind}" + (f": {trigger.reason}" if trigger.reason else "")


def _archive(session: Session, row: CandidateRow) -> None:
    """Keep the verdict of this version as an earlier one, and clear it from the row."""
    verdicts = queries.verdicts(session, row)
    session.add(
        EarlierVerdictRow(
            candidate_id=row.id,
            judgement=row.judgement,
            model_name=row.model_name,
            state=row.state,
            reason=row.reason,
            event=row.event,
            artifact_digest=row.artifact_digest,
            champion_version=row.champion_version,
            golden_digest=row.golden_digest,
            policy_digest=row.policy_digest,
            metrics=row.metrics,
            evidence=row.evidence,
            verdicts=[verdict.model_dump(mode="json") for verdict in verdicts],
            judged_at=row.judged_at,
        )
    )
    session.execute(delete(VerdictRow).where(VerdictRow.candidate_id == row.id))
    row.reason = row.champion_version = row.golden_digest = row.policy_digest = row.judged_at = None
    row.metrics, row.evidence, row.serving_artifact = {}, {}, None


def _prune(session: Session, candidate_id: str) -> None:
    kept = newest(session, candidate_id, MOST_KEPT + 1)
    if len(kept) > MOST_KEPT:
        decided = or_(RegistrationRow.judgement.is_not(None), RegistrationRow.kept.is_not(None))
        old = delete(RegistrationRow).where(
            RegistrationRow.candidate_id == candidate_id, RegistrationRow.at < kept[MOST_KEPT - 1].at, decided
        )
        session.execute(old)
