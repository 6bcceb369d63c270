"""The outbox: lifecycle events are written in the transaction that decides them; the relay publishes them later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import LargeBinary, String, exists, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis import tracing
from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base, leaves_work
from chassis.errors import Permanent
from chassis.settings import MEBIBYTE
from chassis.signing.dsse import Signer
from chassis.signing.event_signature import sign_event
from contracts import Envelope, Event, new_envelope
from contracts.cloudevents import encode


class OutboxRow(Base):
    """One event to publish; rows are published in the order of their ids."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(String(249))
    key: Mapped[bytes] = mapped_column(LargeBinary)
    value: Mapped[bytes] = mapped_column(LargeBinary)
    headers: Mapped[list[list[str]]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=lambda: datetime.now(UTC))
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class Outbox:
    """Writes events of one service (`source`) in the transaction of the caller.

    `signers` sign each event whose type says that it is signed; the row holds the signature.
    """

    def __init__(self, source: str, max_event_bytes: int = MEBIBYTE, *, signers: Sequence[Signer] = ()) -> None:
        self.source = source
        self._max_event_bytes = max_event_bytes
        self._signers = signers

    def emit(
        self,
        session: Session,
        event: Event,
        *,
        cause: Envelope[Any] | None = None,
        event_id: str | None = None,
        correlation_id: str | None = None,
        time: datetime | None = None,
    ) -> Envelope[Any]:
        """Publish `event` if, and only if, this transaction commits. `correlation_id`: default: that of the cause.

        `time`: when it happened; default: now. Raises Permanent for an event larger than its consumers accept.
        """
        envelope = new_envelope(
            event, source=self.source, cause=cause, event_id=event_id, correlation_id=correlation_id, time=time
        )
        envelope = tracing.created(envelope)
        encoded = encode(envelope)
        if len(encoded.value) > self._max_event_bytes:
            raise Permanent(
                f"{type(event).__name__} of {event.model_name} has {len(encoded.value):,} bytes; "
                f"the limit is {self._max_event_bytes:,} (MAX_EVENT_BYTES)"
            )
        if self._signers and event.signed:
            encoded = sign_event(encoded, self._signers)
        row = OutboxRow(
            topic=event.topic,
            key=encoded.key,
            value=encoded.value,
            headers=[[name, value.decode()] for name, value in encoded.headers],
        )
        session.add(row)
        self._written(session, envelope, row)
        leaves_work(session)
        return envelope

    def _written(self, session: Session, envelope: Envelope[Any], row: OutboxRow) -> None:
        """Called with each event as it will be published, in its transaction."""


def is_waiting(session: Session, topic: str, key: str) -> bool:
    """Return whether an event with this key is written and not yet published."""
    unpublished = (OutboxRow.topic == topic, OutboxRow.key == key.encode(), OutboxRow.published_at.is_(None))
    return bool(session.scalar(select(exists().where(*unpublished))))
