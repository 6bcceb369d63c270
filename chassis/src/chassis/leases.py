"""Named leases in the database: one holder at a time; they expire when the holder dies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import String, delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import UtcDateTime
from chassis.database import Base


class LeaseRow(Base):
    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


def hold(session: Session, name: str, holder: str, duration: timedelta) -> bool:
    """Take or renew the lease `name`; return False while another holder's lease is valid."""
    now = datetime.now(UTC)
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(
        insert(LeaseRow).values(name=name, holder=holder, until=now).on_conflict_do_nothing(index_elements=["name"])
    )
    taken = session.execute(
        update(LeaseRow)
        .where(LeaseRow.name == name, or_(LeaseRow.holder == holder, LeaseRow.until <= now))
        .values(holder=holder, until=now + duration)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]  # a CursorResult, for an UPDATE


def release(session: Session, name: str, holder: str) -> None:
    session.execute(delete(LeaseRow).where(LeaseRow.name == name, LeaseRow.holder == holder))
