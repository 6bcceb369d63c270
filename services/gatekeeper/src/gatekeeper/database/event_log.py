"""Every lifecycle event of every service, as it came: what stories, notifications and the console are made of.

It is a read model of the bus: nothing is decided with it, and it may be emptied and filled again from the topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, UniqueConstraint, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base
from contracts import Envelope
from gatekeeper.database.queries import insert_of

IN_ORDER = 0x6C6F67  # any constant: the advisory lock under which PostgreSQL numbers and commits the rows


class EventLogRow(Base):
    """One event; `id` counts in the order in which they were recorded and committed, `at` is when it happened."""

    __tablename__ = "event_log"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        Index("ix_event_log_model_name_id", "model_name", "id"),
        Index("ix_event_log_type_id", "type", "id"),
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
    """Record an event; False when it is recorded already.

    On PostgreSQL one transaction at a time records: a row that became visible after one with a larger id would never be
    seen by a reader that goes on after the largest (`after`). A file of SQLite has one writer anyway.
    """
    event = envelope.data
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": IN_ORDER})
    row = {
        "source": envelope.source,
        "event_id": envelope.id,
        "type": type(event).__name__,
        "model_name": event.model_name,
        "model_version": getattr(event, "model_version", None),
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "at": envelope.time,
        "received_at": datetime.now(UTC),
        "data": event.model_dump(mode="json"),
    }
    insert = insert_of(session)(EventLogRow).values(row).on_conflict_do_nothing()
    return session.scalar(insert.returning(EventLogRow.id)) is not None


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
