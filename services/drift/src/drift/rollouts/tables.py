"""The tables of rollouts: one row a step with its sums; and of a step that runs, what tells a duplicate.

Keys and units are 64-bit hashes, so that a step of a million predictions takes tens of megabytes, not hundreds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, SmallInteger, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base

UNANNOUNCED, OPEN, ENDED = "unannounced", "open", "ended"
"""unannounced: predictions of it came before its RolloutChanged."""

CHAMPION, TRIED = 1, 2
"""Bits of `arm`, `assigned` and `labelled`; both: a row that both versions predict."""


class StepRow(Base):
    """A step of a rollout. Lock the model before changing it, or any row of the tables below."""

    __tablename__ = "drift_rollout_steps"
    __table_args__ = (
        UniqueConstraint("model_name", "rollout_id", "step"),
        Index("ix_drift_rollout_steps_state", "state"),
    )

    key: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model_name: Mapped[str] = mapped_column(String(200))
    rollout_id: Mapped[str] = mapped_column(String(250))
    step: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    revision: Mapped[int | None] = mapped_column(Integer)
    changed: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Its newest RolloutChanged; None while it is unannounced."""
    sums: Mapped[dict[str, Any] | None] = mapped_column(Json)
    history: Mapped[int] = mapped_column(Integer)
    history_errors: Mapped[int] = mapped_column(Integer)
    counted_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    recounting: Mapped[bool] = mapped_column(Boolean)
    """Its earlier predictions are being read from the topic again; until then nothing is emitted."""
    unsent: Mapped[bool] = mapped_column(Boolean)
    """The sums have changed since the last RolloutMeasured."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    measured_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pruned: Mapped[bool] = mapped_column(Boolean)


class SeenRow(Base):
    """A prediction that was counted."""

    __tablename__ = "drift_rollout_seen"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  # as SQLAlchemy wants it

    step_key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class UnitRow(Base):
    """An entity: to which arms it was assigned, and of which it has a value."""

    __tablename__ = "drift_rollout_units"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    step_key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    unit: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    assigned: Mapped[int] = mapped_column(SmallInteger)
    labelled: Mapped[int] = mapped_column(SmallInteger)


class WaitingRow(Base):
    """A prediction that waits for its label, for its label's maturity, or for its step to be announced."""

    __tablename__ = "drift_rollout_waiting"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    step_key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    unit: Mapped[int | None] = mapped_column(BigInteger)
    arm: Mapped[int | None] = mapped_column(SmallInteger)
    """The arms that it gives a value of; None while the step is unannounced."""
    event_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    predicted: Mapped[str] = mapped_column(Text)
    """JSON: what both versions predicted."""
    label: Mapped[str | None] = mapped_column(Text)
    """JSON."""


Index(
    "ix_drift_rollout_waiting_unit",
    WaitingRow.step_key,
    WaitingRow.unit,
    sqlite_where=WaitingRow.unit.is_not(None),
    postgresql_where=WaitingRow.unit.is_not(None),
)
Index(
    "ix_drift_rollout_waiting_labelled",
    WaitingRow.step_key,
    WaitingRow.made_at,
    sqlite_where=WaitingRow.label.is_not(None),
    postgresql_where=WaitingRow.label.is_not(None),
)
