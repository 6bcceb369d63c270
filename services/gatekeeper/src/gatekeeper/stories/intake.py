"""Intake of the event log: every lifecycle event of every service, from the bus into the table.

It has a consumer group of its own, with at-least-once delivery: offsets are committed after the rows are, and an event
that comes again is in the table once. A new database fills itself with what the topics still have. Predictions and
labels are left out: they are rows of data, thousands a second, and drift has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from prometheus_client import Counter
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Malformed
from chassis.signing.dsse import NotVerified, Verifier, Why
from chassis.signing.event_signature import verify_event
from chassis.signing.refusals import Refusals
from chassis.telemetry import get_logger
from contracts import EVENTS, Envelope, Event, GroundTruthReceived, PredictionMade
from contracts.cloudevents import Record, decode
from gatekeeper.database import event_log, kept_events

LOGGED: tuple[type[Event], ...] = tuple(event for event in EVENTS if event not in (PredictionMade, GroundTruthReceived))

LEFT_OUT = Counter(
    "gatekeeper_event_log_left_out_total", "Records of lifecycle topics that are not in the event log", ["topic", "why"]
)

log = get_logger(__name__)


class Arrived(NamedTuple):
    """An event; `doubt`: why its signature is not believed, None for one that is, or needs none."""

    record: Record
    envelope: Envelope[Any]
    doubt: NotVerified | None = None


class EventLog:
    """`keys`: a decision, of a type that is signed, is recorded only if one of them signed it, or if it was published
    here before decisions were signed: a forged one must not be part of a story."""

    def __init__(self, database: Database, keys: Verifier | None, kept_for: timedelta) -> None:
        self._database = database
        self._keys = keys
        self._kept_for = kept_for
        self._refusals = Refusals()

    def read(self, record: Record, max_bytes: int) -> Arrived | None:
        """Return the event in a record; None for one that is not recorded.

        What is no event is a dead letter of the services that handle its topic; a second letter would help nobody.
        """
        if record.value is None:
            return None  # a tombstone
        try:
            envelope = decode(record, max_bytes)
        except Malformed as error:
            LEFT_OUT.labels(record.topic, Why.UNREADABLE).inc()
            log.info("unreadable record left out of the event log", topic=record.topic, error=str(error))
            return None
        if "\\u0000" in envelope.model_dump_json():  # PostgreSQL stores no NUL; no event of ours has one
            LEFT_OUT.labels(record.topic, Why.UNREADABLE).inc()
            log.warning("event with a NUL left out of the event log", topic=record.topic, event_id=envelope.id)
            return None
        if self._keys is None or not envelope.data.signed:
            return Arrived(record, envelope)
        try:
            verify_event(record, self._keys)
        except NotVerified as error:
            return Arrived(record, envelope, error)
        return Arrived(record, envelope)

    def on_events(self, session: Session, batch: Sequence[Arrived | None]) -> None:
        """Record a batch."""
        arrived = [each for each in batch if each is not None]
        event_log.add_all(session, [each.envelope for each in arrived if self._is_believed(session, each)])

    def prune(self, now: datetime, limit: int) -> int:
        """Delete events that were recorded long ago, at most `limit`; return how many."""
        with self._database.transaction() as session:
            return event_log.prune(session, now - self._kept_for, limit)

    def _is_believed(self, session: Session, arrived: Arrived) -> bool:
        record, envelope, doubt = arrived
        if doubt is None or kept_events.is_kept(session, record, envelope.id):
            return True
        LEFT_OUT.labels(record.topic, doubt.why).inc()
        self._refusals.log(
            topic=record.topic, model_name=envelope.model_name, event_id=envelope.id, why=doubt.why, reason=str(doubt)
        )
        return False
