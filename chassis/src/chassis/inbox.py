"""The inbox: records handled events in the transaction of their effect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import UtcDateTime
from chassis.database import Base
from contracts import Envelope


class InboxRow(Base):
    __tablename__ = "inbox"

    source: Mapped[str] = mapped_column(String(500), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    type: Mapped[str] = mapped_column(String(200))
    handled_at: Mapped[datetime] = mapped_column(UtcDateTime)


def first_time(session: Session, envelope: Envelope[Any]) -> bool:
    """Mark the event as handled by this transaction; return False when it already was."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = {
        "source": envelope.source,
        "event_id": envelope.id,
        "type": envelope.type,
        "handled_at": datetime.now(UTC),
    }
    # RETURNING, since psycopg reports no row count for an INSERT through the ORM.
    marked = insert(InboxRow).values(row).on_conflict_do_nothing().returning(InboxRow.event_id)
    return session.scalar(marked) is not None
