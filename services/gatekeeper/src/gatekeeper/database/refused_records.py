"""Records of the bus that were not believed: each is in the audit trail once, however often it is read or written."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import UtcDateTime
from chassis.database import Base
from chassis.follower import RefusedRecord
from contracts import Promoted, RolloutChanged
from contracts.cloudevents import Record
from gatekeeper.database import queries, rollouts
from gatekeeper.database.audit_trail import ACTOR
from gatekeeper.database.tables import PromotionRow

A_DAY = 100
"""Refused records that are audited in 24 hours: whoever may write to the topic cannot fill the trail. Of more, there is
the metric and the log."""


class RefusedRecordRow(Base):
    """A record that was audited; `digest`: of its topic, key, value and headers."""

    __tablename__ = "refused_records"

    digest: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def digest_of(record: Record) -> str:
    found = hashlib.sha256()
    headers = [part for name, value in record.headers for part in (name.encode(), value)]
    for part in (record.topic.encode(), record.key, record.value, *headers):
        found.update(b"-" if part is None else b"%d:%b" % (len(part), part))
    return f"sha256:{found.hexdigest()}"


def is_audited(session: Session, refused: RefusedRecord) -> bool:
    """Return whether a record was audited before, or is one too many today."""
    if session.get(RefusedRecordRow, digest_of(refused.record)) is not None:
        return True
    since = datetime.now(UTC) - timedelta(days=1)
    query = select(func.count()).select_from(RefusedRecordRow).where(RefusedRecordRow.at > since)
    return (session.scalar(query) or 0) >= A_DAY


def add(session: Session, refused: RefusedRecord) -> None:
    """Audit a record, unless another replica has, meanwhile."""
    digest = digest_of(refused.record)
    row = {"digest": digest, "at": datetime.now(UTC)}
    insert = queries.insert_of(session)(RefusedRecordRow).values(row).on_conflict_do_nothing()
    if session.scalar(insert.returning(RefusedRecordRow.digest)) is None:
        return
    event = refused.envelope.data if refused.envelope else None
    claimed = {"actor": event.actor, "event_id": refused.envelope.id} if event and refused.envelope else {}
    queries.add_audit(
        session,
        "not believed",
        storable(refused.model_name)[:200],
        event.model_version if isinstance(event, Promoted) else None,
        actor=ACTOR,
        reason=storable(refused.reason),
        evidence={
            "topic": refused.record.topic,
            "partition": refused.partition,
            "offset": refused.offset,
            "why": refused.why.value,
            "digest": digest,
            **{name: storable(value) for name, value in claimed.items()},
        },
    )


def count_since(session: Session, since: datetime) -> int:
    """Return how many records were not believed and audited since then; at most A_DAY a day."""
    return session.scalar(select(func.count()).select_from(RefusedRecordRow).where(RefusedRecordRow.at > since)) or 0


def is_known(session: Session, refused: RefusedRecord) -> bool:
    """Return whether it is a decision of this database: of before it was signed, or signed with a former key."""
    envelope = refused.envelope
    if envelope is None or "\0" in envelope.id:
        return False
    event = envelope.data
    if isinstance(event, Promoted):
        row = session.get(PromotionRow, (event.model_name, event.epoch))
        return row is not None and row.event_id == envelope.id and Promoted.model_validate(row.event) == event
    if isinstance(event, RolloutChanged):
        rollout = rollouts.by_id(session, event.rollout_id)
        if rollout is None or rollout.model_name != event.model_name:
            return False
        # Earlier changes are not kept; no reader acts on one once it has seen a later revision.
        return event.revision < rollout.revision or (
            rollout.event_id == envelope.id and rollouts.changed_event(rollout) == event
        )
    return False


def storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
