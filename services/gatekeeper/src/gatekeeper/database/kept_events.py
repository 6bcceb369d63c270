"""Decisions as they were published, byte for byte and with their signatures: the evidence of a version holds them.

A compacted topic keeps only a model's newest, and the outbox none after a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, LargeBinary, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base
from chassis.outbox import Outbox, OutboxRow
from contracts import (
    ApprovalGiven,
    ApprovalRefused,
    AuditHeadSigned,
    Envelope,
    Event,
    GateFailed,
    GatePassed,
    Promoted,
    RolloutChanged,
)
from contracts.cloudevents import Record

KEPT: tuple[type[Event], ...] = (
    GatePassed,
    GateFailed,
    Promoted,
    RolloutChanged,
    ApprovalGiven,
    ApprovalRefused,
    AuditHeadSigned,
)


class KeptEventRow(Base):
    """An event as it was published; its key is `model_name`."""

    __tablename__ = "kept_events"
    __table_args__ = (Index("ix_kept_events_model_name_model_version", "model_name", "model_version"),)

    number: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(200))
    """Not unique: a decision may be published again."""
    type: Mapped[str] = mapped_column(String(100), index=True)
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int | None] = mapped_column(Integer)
    topic: Mapped[str] = mapped_column(String(249))
    value: Mapped[bytes] = mapped_column(LargeBinary)
    headers: Mapped[list[list[str]]] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class KeepingOutbox(Outbox):
    """An outbox that also keeps decisions, in the same transaction."""

    def _written(self, session: Session, envelope: Envelope[Any], row: OutboxRow) -> None:
        event = envelope.data
        if type(event) not in KEPT:
            return
        session.add(
            KeptEventRow(
                event_id=envelope.id,
                type=event.type,
                model_name=event.model_name,
                model_version=version_of(event),
                topic=row.topic,
                value=row.value,
                headers=row.headers,
                at=envelope.time,
            )
        )


def of_version(session: Session, model_name: str, model_version: int) -> Sequence[KeptEventRow]:
    """Return what was published of a version, in the order of its decisions."""
    query = select(KeptEventRow).where(
        KeptEventRow.model_name == model_name, KeptEventRow.model_version == model_version
    )
    return session.scalars(query.order_by(KeptEventRow.number)).all()


def is_kept(session: Session, record: Record, event_id: str) -> bool:
    """Return whether a record is, byte for byte, what was published here."""
    key = (record.key or b"").decode(errors="replace")
    query = select(KeptEventRow).where(KeptEventRow.model_name == key, KeptEventRow.event_id == event_id)
    headers = sorted((name, value or b"") for name, value in record.headers)
    return any(
        row.topic == record.topic
        and row.value == record.value
        and sorted((name, value.encode()) for name, value in row.headers) == headers
        for row in session.scalars(query)
    )


def newest(session: Session, event: type[Event]) -> KeptEventRow | None:
    query = select(KeptEventRow).where(KeptEventRow.type == event.type)
    return session.scalars(query.order_by(KeptEventRow.number.desc()).limit(1)).first()


def version_of(event: Event) -> int | None:
    """Return the version that an event is about: of a rollout, the one that it tries."""
    tried = event.tried if isinstance(event, RolloutChanged) else event
    return getattr(tried, "model_version", None)
