"""Stored results of training jobs: the end of the log, and the registered version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, Text, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import Json, UtcDateTime
from chassis.database import Base
from contracts import ModelRegistered


class TrainingRow(Base):
    """One row a job, from its first run on."""

    __tablename__ = "trainings"

    job_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    log_tail: Mapped[str] = mapped_column(Text)
    registered: Mapped[dict[str, Any] | None] = mapped_column(Json)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


def keep(session: Session, job_id: str, log_tail: str, registered: ModelRegistered | None = None) -> None:
    """Write the current state; the last write wins."""
    values = {
        "log_tail": log_tail.replace("\0", ""),  # which PostgreSQL rejects
        "registered": registered.model_dump(mode="json") if registered else None,
        "updated_at": datetime.now(UTC),
    }
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = insert(TrainingRow).values(job_id=job_id, **values)
    session.execute(row.on_conflict_do_update(index_elements=["job_id"], set_=values))


def training(session: Session, job_id: str) -> TrainingRow | None:
    return session.scalars(select(TrainingRow).where(TrainingRow.job_id == job_id)).first()
