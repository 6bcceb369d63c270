"""The audit trail in the database: appends are serialized across all writers; rows are read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from gatekeeper.database.tables import AuditHeadRow, AuditRow
from gatekeeper.policy.hash_chain import Entry, Head, Proof, linked, plain, verify

ACTOR = "gatekeeper"
"""Who decides where no person does."""
ROWS_AT_ONCE = 1000
UNREADABLE = Entry(0, datetime.min.replace(tzinfo=UTC), "", "", "", None, "", {}, None, "")
FIELDS = tuple(Entry.__dataclass_fields__)


def append(
    session: Session,
    *,
    action: str,
    model_name: str,
    model_version: int | None,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    correlation_id: str | None,
) -> Entry:
    """Append a row, linked to the last. The head stays locked until the transaction ends: other writers wait."""
    query = select(AuditHeadRow).with_for_update().execution_options(populate_existing=True)
    head = session.scalars(query).one()
    entry = linked(
        Entry(
            sequence=head.count + 1,
            at=datetime.now(UTC),
            actor=actor,
            action=action,
            model_name=model_name,
            model_version=model_version,
            reason=reason,
            evidence=plain(evidence),
            correlation_id=correlation_id,
            previous_digest=head.digest,
        )
    )
    session.add(AuditRow(**{name: getattr(entry, name) for name in FIELDS}))
    head.count, head.digest = entry.sequence, entry.digest
    session.flush()
    return entry


def verified(session: Session, noted: str | None = None) -> Proof:
    """Verify the chain through every row, a few in memory at a time. The session must not have been used before."""
    if session.get_bind().dialect.name == "postgresql":  # else rows added meanwhile would not be in the head
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    row = session.scalars(select(AuditHeadRow)).first()
    head = Head(row.count, row.digest) if row else None
    try:
        return verify(_entries(session, ROWS_AT_ONCE), head, noted)
    except (TypeError, ValueError):  # a row has values that its columns cannot hold: find it
        return verify(_entries(session, 1), head, noted)


def _entries(session: Session, rows_at_once: int) -> Iterator[Entry]:
    columns = [getattr(AuditRow, name) for name in FIELDS]
    query = select(*columns).order_by(AuditRow.sequence).execution_options(yield_per=rows_at_once)
    place = 1
    try:
        for row in session.execute(query):
            yield Entry(*row)
            place += 1
    except (TypeError, ValueError):
        if rows_at_once > 1:
            raise
        yield replace(UNREADABLE, sequence=place)
