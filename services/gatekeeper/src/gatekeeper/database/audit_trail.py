"""The audit trail in the database: appends are serialized across all writers; rows are read as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from chassis.database import Database
from gatekeeper.database.tables import AuditHeadRow, AuditRow
from gatekeeper.policy.hash_chain import UNREADABLE, Entry, Head, Proof, linked, plain, to_line, verify

ACTOR = "gatekeeper"
"""Who decides where no person does."""
ROWS_AT_ONCE = 1000
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
    head = _consistent_head(session)
    try:
        return verify(_entries(session, ROWS_AT_ONCE), head, noted)
    except (TypeError, ValueError):  # a row has values that its columns cannot hold: find it
        return verify(_entries(session, 1), head, noted)


def lines(database: Database) -> Iterator[str]:
    """Yield every row as a line of JSON, and last the head: `{"head":{"count":…,"digest":…}}`, null without one.

    No transaction outlives a page, so a slow reader delays nobody; rows that are added meanwhile are included.
    """
    last, is_more = None, True
    while is_more:
        with database.reading() as session:
            head = _consistent_head(session)
            page = _page(session, last)
        yield from (f"{to_line(entry)}\n" for entry in page)
        last, is_more = page[-1].sequence if page else last, len(page) == ROWS_AT_ONCE
    found = None if head is None else {"count": head.count, "digest": head.digest}
    yield json.dumps({"head": found}, separators=(",", ":")) + "\n"


def of_version(session: Session, model_name: str, model_version: int) -> list[Entry]:
    """Return the rows of a version and those of its model as a whole, in their order."""
    columns = [getattr(AuditRow, name) for name in FIELDS]
    mine = or_(AuditRow.model_version == model_version, AuditRow.model_version.is_(None))
    query = select(*columns).where(AuditRow.model_name == model_name, mine).order_by(AuditRow.sequence)
    return [Entry(*row) for row in session.execute(query)]


def _consistent_head(session: Session) -> Head | None:
    if session.get_bind().dialect.name == "postgresql":  # else rows added meanwhile would not be in the head
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    row = session.scalars(select(AuditHeadRow)).first()
    return Head(row.count, row.digest) if row else None


def _page(session: Session, after: int | None) -> list[Entry]:
    sequence = AuditRow.sequence
    columns = [getattr(AuditRow, name) for name in FIELDS]
    query = select(*columns).order_by(sequence).limit(ROWS_AT_ONCE)
    if after is not None:
        query = query.where(sequence > after)
    try:
        return [Entry(*row) for row in session.execute(query)]
    except (TypeError, ValueError):  # a row has values that its columns cannot hold
        numbers = select(sequence).order_by(sequence).limit(ROWS_AT_ONCE)
        found = session.scalars(numbers if after is None else numbers.where(sequence > after)).all()
        return [_one(session, number) for number in found]


def _one(session: Session, number: int) -> Entry:
    columns = [getattr(AuditRow, name) for name in FIELDS]
    try:
        return Entry(*session.execute(select(*columns).where(AuditRow.sequence == number)).one())
    except (TypeError, ValueError):
        return replace(UNREADABLE, sequence=number)


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
