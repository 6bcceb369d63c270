"""The facts of a story, as they are read: events of the log, jobs, the audit trail, and the trainer's jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.jobs import Job, Jobs
from contracts import EVENTS, AuditHeadSigned, Event
from contracts.event_summaries import summary
from gatekeeper.database import event_log
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.tables import AuditRow
from gatekeeper.policy.story import LOADS, DecisionFact, EventFact, JobFact, Story, tell

BY_NAME: dict[str, type[Event]] = {event.__name__: event for event in EVENTS}
LOOKED_AT = 2000
"""Newest events that a list of stories is made from."""
TRAINER, PATH = "trainer", "/jobs"

Fetch = Callable[..., Awaitable[Any]]
"""`gatekeeper.console.services.Services.get`: a list, or an object with the reason why there is none."""


@dataclass(frozen=True)
class Told:
    """A story as it is known now; `missing`: what could not be read, in a sentence."""

    correlation_id: str
    story: Story
    missing: str | None = None


@dataclass(frozen=True)
class Heading:
    """A story in a list: `first` and `last` of its events that were looked at, in words."""

    correlation_id: str
    model_names: tuple[str, ...]
    versions: tuple[int, ...]
    begins: datetime
    ends: datetime
    events: int
    first: str
    last: str


class Stories:
    def __init__(self, database: Database, jobs: Jobs, fetch: Fetch) -> None:
        self._database = database
        self._jobs = jobs
        self._fetch = fetch

    def find(self, name: str, sees: Callable[[str], bool]) -> str | None:
        """Return the correlation id that `name` is, or that the event of this id has; None for neither."""
        with self._database.reading() as session:
            by_id = select(EventLogRow.correlation_id, EventLogRow.model_name)
            for column in (EventLogRow.correlation_id, EventLogRow.event_id):
                for correlation_id, model_name in session.execute(by_id.where(column == name).limit(100)):
                    if sees(model_name):
                        return str(correlation_id)
        return None

    def of_version(self, model_name: str, model_version: int) -> str | None:
        """Return the story in which the version was registered, else the newest of it."""
        mine = (EventLogRow.model_name == model_name, EventLogRow.model_version == model_version)
        query = select(EventLogRow.correlation_id).where(*mine).order_by(EventLogRow.id.desc()).limit(1)
        with self._database.reading() as session:
            registered = query.where(EventLogRow.type == "ModelRegistered")
            return session.scalar(registered) or session.scalar(query)

    async def read(self, name: str, sees: Callable[[str], bool], authorization: str | None = None) -> Told | None:
        """Return the story with what the caller may see of it; None where that is nothing.

        `name`: its correlation id, or the id of one of its events.
        """
        correlation_id = await asyncio.to_thread(self.find, name, sees)
        if correlation_id is None:
            return None
        events, jobs, decisions = await asyncio.to_thread(self._facts, correlation_id, sees)
        trained, missing = await self._trainings(events, authorization)
        story = tell(events, [*jobs, *trained], decisions, now=datetime.now(UTC))
        return None if story is None else Told(correlation_id, story, missing)

    def newest(self, model_name: str | None, sees: Callable[[str], bool], limit: int) -> list[Heading]:
        """Return the stories among the newest events, of a model or of all that the caller may see, newest first."""
        query = select(EventLogRow).where(EventLogRow.type != AuditHeadSigned.__name__)
        if model_name is not None:
            query = query.where(EventLogRow.model_name == model_name)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(EventLogRow.id.desc()).limit(LOOKED_AT)).all()
            by_story: dict[str, list[EventLogRow]] = {}
            for row in rows:
                if sees(row.model_name) and (row.correlation_id in by_story or len(by_story) < limit):
                    by_story.setdefault(row.correlation_id, []).append(row)
            return _headings(session, by_story)

    def headings(self, correlation_ids: Sequence[str], sees: Callable[[str], bool]) -> list[Heading]:
        with self._database.reading() as session:
            found = {each: event_log.of_story(session, each) for each in correlation_ids}
            seen = {each: [row for row in rows if sees(row.model_name)] for each, rows in found.items()}
            return _headings(session, {each: rows for each, rows in seen.items() if rows})

    def _facts(
        self, correlation_id: str, sees: Callable[[str], bool]
    ) -> tuple[list[EventFact], list[JobFact], list[DecisionFact]]:
        with self._database.reading() as session:
            rows = event_log.of_story(session, correlation_id)
            jobs = self._jobs.of_story(session, correlation_id)
            query = select(AuditRow).where(AuditRow.correlation_id == correlation_id).order_by(AuditRow.sequence)
            audit = session.scalars(query.limit(1000)).all()
            return (
                [_event(row) for row in rows if sees(row.model_name)],
                [_job(job) for job in jobs if sees(job.key)],
                [_decision(row) for row in audit if sees(row.model_name)],
            )

    async def _trainings(
        self, events: Sequence[EventFact], authorization: str | None
    ) -> tuple[list[JobFact], str | None]:
        """Return the trainer's jobs of these events: by the events that asked for them, or that they ended with."""
        wanting = {each.id for each in events if each.name in ("DriftDetected", "TrainingRequested")}
        ended = {
            each.id.removesuffix(ending): each.model_name
            for each in events
            for ending in ("-registered", "-failed")
            if each.source == TRAINER and each.id.endswith(ending)
        }
        models = {each.model_name for each in events if each.id in wanting} | set(ended.values())
        found: dict[str, dict[str, Any]] = {}
        for model_name in sorted(models)[:5]:
            listed = await self._fetch(TRAINER, PATH, authorization, model=model_name, limit=100)
            if not isinstance(listed, list):
                return [], f"the trainer at {listed.url} was not reached, so its jobs are not shown: {listed.reason}"
            found |= {each["id"]: each for each in listed if each["event_id"] in wanting or each["id"] in ended}
        for job_id in sorted(set(ended) - set(found))[:20]:
            one = await self._fetch(TRAINER, f"{PATH}/{job_id}", authorization)
            if isinstance(one, dict):
                found[job_id] = one
        return [_training(each) for each in found.values()], None


def _event(row: EventLogRow) -> EventFact:
    data = row.data
    champion = data.get("role") == "production" and data.get("epoch") is not None and data.get("rollout_id") is None
    return EventFact(
        id=row.event_id,
        source=row.source,
        name=row.type,
        model_name=row.model_name,
        model_version=row.model_version,
        cause=row.causation_id,
        at=row.at,
        text=in_words(row),
        actor=data.get("actor") or data.get("requested_by"),
        rollout_id=data.get("rollout_id"),
        seconds=data.get("seconds") if row.type in LOADS else None,
        is_swap=row.type == "ModelLoaded" and champion,
    )


def in_words(row: EventLogRow) -> str:
    """Return the essentials of an event in a line; of a type that this build does not know, nothing."""
    event = BY_NAME.get(row.type)
    try:
        return summary(event.model_validate(row.data)) if event else ""
    except ValueError:  # written by a newer build
        return ""


def _job(job: Job) -> JobFact:
    return JobFact(
        id=job.id,
        kind=job.kind,
        service="gatekeeper",
        model_name=job.key,
        cause=job.cause.id if job.cause else None,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        state=job.state,
        attempts=job.attempts,
        error=job.error,
    )


def _training(job: dict[str, Any]) -> JobFact:
    times = {name: job[name] and datetime.fromisoformat(job[name]) for name in ("created_at", "started_at", "ended_at")}
    return JobFact(
        id=job["id"],
        kind="train",
        service=TRAINER,
        model_name=job["model_name"],
        cause=job["event_id"],
        state=job["state"],
        attempts=job["attempts"],
        error=job["error"],
        **times,
    )


def _decision(row: AuditRow) -> DecisionFact:
    return DecisionFact(
        sequence=row.sequence,
        action=row.action,
        actor=row.actor,
        at=row.at,
        model_name=row.model_name,
        model_version=row.model_version,
        reason=row.reason,
        event_id=row.evidence.get("event_id"),
        rollout_id=row.evidence.get("rollout_id"),
    )


def _spans(session: Session, correlation_ids: Sequence[str]) -> dict[str, tuple[datetime, datetime, int]]:
    columns = (EventLogRow.correlation_id, func.min(EventLogRow.at), func.max(EventLogRow.at), func.count())
    query = select(*columns).where(EventLogRow.correlation_id.in_(correlation_ids))
    rows: Iterable[Any] = session.execute(query.group_by(EventLogRow.correlation_id))
    return {name: (begins, ends, count) for name, begins, ends, count in rows}


def _headings(session: Session, by_story: Mapping[str, Sequence[EventLogRow]]) -> list[Heading]:
    whole = _spans(session, list(by_story))
    return [_heading(each, rows, *whole[each]) for each, rows in by_story.items()]


def _heading(
    correlation_id: str, found: Sequence[EventLogRow], begins: datetime, ends: datetime, count: int
) -> Heading:
    in_time = sorted(found, key=lambda row: (row.at, row.id))
    named = [f"{row.type}: {text}" if (text := in_words(row)) else row.type for row in (in_time[0], in_time[-1])]
    return Heading(
        correlation_id=correlation_id,
        model_names=tuple(sorted({row.model_name for row in found})),
        versions=tuple(sorted({row.model_version for row in found if row.model_version is not None})),
        begins=begins,
        ends=ends,
        events=count,
        first=named[0],
        last=named[1],
    )
