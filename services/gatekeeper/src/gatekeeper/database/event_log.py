"""Every lifecycle event of every service, as it came: what stories, notifications and the console are made of.

It is a read model of the bus: nothing is decided with it, and it may be emptied and filled again from the topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, UniqueConstraint, delete, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base
from contracts import Envelope, RolloutMeasured
from gatekeeper.database.kept_events import version_of
from gatekeeper.database.queries import insert_of

AT_A_TIME = 500
"""Rows of one INSERT: SQLite takes 32,766 values."""
LONGEST_ID = 500
"""Characters of a correlation or causation id; PostgreSQL indexes no value above 2,704 bytes."""


class EventLogRow(Base):
    """One event; `id` counts in the order in which they were recorded, `at` is when it happened."""

    __tablename__ = "event_log"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        Index("ix_event_log_model_name_id", "model_name", "id"),
        Index("ix_event_log_model_name_type_id", "model_name", "type", "id"),
        Index("ix_event_log_type_id", "type", "id"),
        Index("ix_event_log_event_id", "event_id"),
        Index("ix_event_log_model_name_version_id", "model_name", "model_version", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(String(500))
    event_id: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(100))
    """Name of the event's class: ModelRegistered, DriftDetected, …"""
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int | None] = mapped_column(Integer)
    correlation_id: Mapped[str] = mapped_column(Text, index=True)
    causation_id: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    data: Mapped[dict[str, Any]] = mapped_column(Json)


def add(session: Session, envelope: Envelope[Any]) -> bool:
    """Record an event; False when it is recorded already."""
    return add_all(session, [envelope]) == 1


def add_all(session: Session, envelopes: Sequence[Envelope[Any]]) -> int:
    """Record events in their order, but for those that are recorded already; return how many were not.

    Of RolloutMeasured, a model's totals that come each second, only the newest stays: it contains the earlier ones.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Else a reader of what is `after` an id would miss a row with a smaller one that another replica commits later.
        session.execute(text("LOCK TABLE event_log IN SHARE ROW EXCLUSIVE MODE"))
    last_totals = {item.model_name: item.id for item in envelopes if isinstance(item.data, RolloutMeasured)}
    now, count = datetime.now(UTC), 0
    rows = [
        _row(item, now)
        for item in envelopes
        if not isinstance(item.data, RolloutMeasured) or last_totals[item.model_name] == item.id
    ]
    totals: dict[str, int] = {}
    for start in range(0, len(rows), AT_A_TIME):
        insert = insert_of(session)(EventLogRow).values(rows[start : start + AT_A_TIME]).on_conflict_do_nothing()
        for row_id, kind, model_name in session.execute(
            insert.returning(EventLogRow.id, EventLogRow.type, EventLogRow.model_name)
        ):
            count += 1
            if kind == RolloutMeasured.__name__:
                totals[model_name] = row_id
    for model_name, row_id in totals.items():
        # After the new row is there: SQLite would give it the id of a last row that is deleted.
        mine = (EventLogRow.type == RolloutMeasured.__name__, EventLogRow.model_name == model_name)
        session.execute(delete(EventLogRow).where(*mine, EventLogRow.id != row_id))
    return count


def prune(session: Session, before: datetime, limit: int) -> int:
    """Delete at most `limit` events that were recorded before then, but never the last; return how many.

    Without a last row, SQLite would begin to count ids again, and who has read up to one would miss what comes.
    """
    old = select(EventLogRow.id).where(EventLogRow.received_at < before, EventLogRow.id < newest_id(session))
    ids = session.scalars(old.limit(limit)).all()
    if ids:
        session.execute(delete(EventLogRow).where(EventLogRow.id.in_(ids)))
    return len(ids)


def _row(envelope: Envelope[Any], now: datetime) -> dict[str, Any]:
    event = envelope.data
    return {
        "source": envelope.source,
        "event_id": envelope.id,
        "type": type(event).__name__,
        "model_name": event.model_name,
        "model_version": version_of(event),
        "correlation_id": envelope.correlation_id[:LONGEST_ID],
        "causation_id": envelope.causation_id and envelope.causation_id[:LONGEST_ID],
        "at": envelope.time,
        "received_at": now,
        "data": event.model_dump(mode="json"),
    }


def newest_id(session: Session) -> int:
    """Return the id of the event recorded last; 0 without any."""
    return session.scalar(select(func.max(EventLogRow.id))) or 0


def after(session: Session, row_id: int, limit: int = 1000) -> Sequence[EventLogRow]:
    """Return the events recorded after `row_id`, the oldest first."""
    query = select(EventLogRow).where(EventLogRow.id > row_id)
    return session.scalars(query.order_by(EventLogRow.id).limit(limit)).all()


def of_story(session: Session, correlation_id: str, limit: int = 1000) -> Sequence[EventLogRow]:
    """Return the events of one story, the oldest first."""
    query = select(EventLogRow).where(EventLogRow.correlation_id == correlation_id)
    return session.scalars(query.order_by(EventLogRow.at, EventLogRow.id).limit(limit)).all()


def newest_of(session: Session, model_name: str, kind: str, limit: int) -> Sequence[EventLogRow]:
    """Return the newest events of one type about a model, the newest first; `kind`: the name of the event's class."""
    query = select(EventLogRow).where(EventLogRow.model_name == model_name, EventLogRow.type == kind)
    return session.scalars(query.order_by(EventLogRow.id.desc()).limit(limit)).all()
