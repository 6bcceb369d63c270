"""What changed in the database since the last look, whichever gatekeeper wrote it: which models, and what of them.

One query, which reads a few seconds of events, audit rows and jobs by their keys, however long the past is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CompoundSelect, Select, String, cast, func, literal, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from chassis.jobs import RUNNING, JobRow
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.tables import AuditRow

MOST = 1000
"""Rows of a kind that one look reads; beyond, everything may have changed."""
SETTLED = timedelta(seconds=5)
"""Transactions that have begun commit within it: a number that another transaction took before is seen late."""
MARGIN = timedelta(seconds=2)
"""Between the clocks of two gatekeepers, and between the time in a row and its commit."""
LONGEST_GAP = timedelta(minutes=10)
AUDIT, JOB = "Audit", "Job"


@dataclass(frozen=True)
class Change:
    """Of a model; of ANY model. `type`: name of an event's class, AUDIT or JOB."""

    model_name: str
    type: str


ANY = "*"
EVERYTHING = Change(ANY, ANY)


class Changes:
    """Looks one after another. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._low: dict[str, int] = {}
        self._mark: dict[str, int] = {}
        self._seen: dict[str, set[int]] = {}
        self._running: dict[int, tuple[str, str]] = {}
        self._settled_at: datetime | None = None

    def look(self, session: Session, now: datetime) -> list[Change]:
        """Return what changed since the look before; the first look returns nothing."""
        if self._settled_at is None:
            self._begin(session, now)
        found: dict[Change, None] = {}
        running: dict[int, tuple[str, str]] = {}
        read = dict.fromkeys(self._low, 0)
        for kind, number, model, what in session.execute(self._query()):
            if kind == RUNNING:
                running[number] = (model, what)
                continue
            read[kind] += 1
            if number not in self._seen[kind]:
                self._seen[kind].add(number)
                found[Change(model, what)] = None
        if max(read.values()) >= MOST:  # more than can be named
            self._begin(session, now)
            return [EVERYTHING]
        for sequence in running.keys() ^ self._running.keys():
            model, _ = running.get(sequence) or self._running[sequence]
            found[Change(model, JOB)] = None
        for sequence in running.keys() & self._running.keys():
            if running[sequence] != self._running[sequence]:
                found[Change(running[sequence][0], JOB)] = None
        self._running = running
        self._settle(now)
        return list(found)

    def _query(self) -> CompoundSelect[Any]:
        progress = func.coalesce(cast(JobRow.progress, String), "") + " " + func.coalesce(JobRow.message, "")
        attempt = JobRow.kind + " " + cast(JobRow.attempts, String) + " " + progress
        return union_all(
            self._after(EventLogRow.id, EventLogRow.model_name, EventLogRow.type, "event"),
            self._after(AuditRow.sequence, AuditRow.model_name, literal(AUDIT, String), "audit"),
            self._after(JobRow.sequence, JobRow.key, literal(JOB, String), "job"),
            select(literal(RUNNING, String), JobRow.sequence, JobRow.key, attempt).where(JobRow.state == RUNNING),
        )

    def _after(
        self, number: InstrumentedAttribute[int], model: InstrumentedAttribute[str], what: Any, kind: str
    ) -> Select[Any]:
        query = select(literal(kind, String).label("kind"), number.label("number"), model.label("model"))
        query = query.add_columns(what.label("what")).where(number > self._low[kind]).order_by(number).limit(MOST)
        return select(query.subquery())

    def _begin(self, session: Session, now: datetime) -> None:
        columns = {"event": EventLogRow.id, "audit": AuditRow.sequence, "job": JobRow.sequence}
        newest = session.execute(select(*(select(func.max(each)).scalar_subquery() for each in columns.values()))).one()
        self._low = {kind: number or 0 for kind, number in zip(columns, newest, strict=True)}
        self._mark = dict(self._low)
        self._seen = {kind: set() for kind in columns}
        running = select(JobRow.sequence, JobRow.key, literal("", String)).where(JobRow.state == RUNNING)
        self._running = {sequence: (key, what) for sequence, key, what in session.execute(running)}
        self._settled_at = now

    def _settle(self, now: datetime) -> None:
        """Begin later looks after what was the newest row one period ago: until then, smaller numbers may come."""
        if self._settled_at is not None and now - self._settled_at < SETTLED:
            return
        self._low = dict(self._mark)
        self._seen = {kind: {each for each in seen if each > self._low[kind]} for kind, seen in self._seen.items()}
        self._mark = {kind: max(seen, default=self._low[kind]) for kind, seen in self._seen.items()}
        self._settled_at = now


def since(session: Session, when: datetime, now: datetime) -> list[Change]:
    """Return what changed since a page was made or a stream ended; EVERYTHING after a long time."""
    if now - when > LONGEST_GAP:
        return [EVERYTHING]
    events = select(EventLogRow.model_name, EventLogRow.type).where(EventLogRow.received_at >= when - MARGIN)
    found = [Change(*row) for row in session.execute(events.limit(MOST))]
    newest = select(AuditRow.model_name, AuditRow.at).order_by(AuditRow.sequence.desc()).limit(MOST)
    found += [Change(row.model_name, AUDIT) for row in session.execute(newest) if row.at >= when - MARGIN]
    return [EVERYTHING] if len(found) >= MOST else list(dict.fromkeys(found))
