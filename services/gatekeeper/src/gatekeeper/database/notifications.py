"""Statements on messages: what is due, what became of it, and what is shown. The caller commits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from contracts.notification_settings import Severity
from gatekeeper.database.notification_tables import (
    FAILED,
    SENT,
    WAITING,
    NotificationAttemptRow,
    NotificationMessageRow,
    NotificationRow,
)
from gatekeeper.policy.notifications.rendering import Item
from gatekeeper.policy.undelivered import MOST, GivenUp

KEPT = timedelta(days=30)
"""How long what is over is kept: longer than an event is news (`policy.notifications.matching.NEWS`)."""
AT_A_TIME = 500


def next_due(session: Session, now: datetime, busy: Collection[str]) -> list[str]:
    """Return the message that is due first for each target, of targets that are not `busy`."""
    sendable = _sendable(now)
    targets = session.scalars(select(NotificationMessageRow.target).where(sendable).distinct())
    found: list[str] = []
    for target in targets:
        if target in busy:
            continue
        query = select(NotificationMessageRow.id).where(sendable, NotificationMessageRow.target == target)
        order = (NotificationMessageRow.due_at, NotificationMessageRow.created_at, NotificationMessageRow.id)
        found += session.scalars(query.order_by(*order).limit(1))
    return found


def claim(
    session: Session, message_id: str, owner: str, now: datetime, until: datetime
) -> NotificationMessageRow | None:
    """Take a message that is due, for one attempt; None when another gatekeeper has it, or it is over."""
    taken = (
        update(NotificationMessageRow)
        .where(NotificationMessageRow.id == message_id, _sendable(now))
        .values(claimed_by=owner, claimed_until=until, attempts=NotificationMessageRow.attempts + 1)
    )
    if session.scalar(taken.returning(NotificationMessageRow.id)) is None:
        return None
    return session.get(NotificationMessageRow, message_id, populate_existing=True)


def items_of(session: Session, message_id: str) -> list[Item]:
    query = select(NotificationRow).where(NotificationRow.message_id == message_id).order_by(NotificationRow.id)
    return [_item(row) for row in session.scalars(query)]


def record_attempt(
    session: Session,
    message_id: str,
    owner: str,
    attempt: int,
    *,
    at: datetime,
    seconds: float,
    delivered: bool,
    reply: str,
    again_at: datetime | None,
) -> str | None:
    """Record what became of an attempt, and return the state of the message; None when it is no longer the owner's:
    the claim ran out, and another gatekeeper has taken it. `again_at`: None: it is given up if it was not delivered."""
    log = NotificationAttemptRow(
        message_id=message_id, attempt=attempt, at=at, seconds=seconds, delivered=delivered, reply=reply
    )
    session.add(log)
    state = SENT if delivered else FAILED if again_at is None else WAITING
    values: dict[str, Any] = {"state": state, "claimed_by": None, "claimed_until": None, "last_reply": reply}
    if state == WAITING:
        values["due_at"] = again_at
    else:
        values["ended_at"] = at
    mine = update(NotificationMessageRow).where(
        NotificationMessageRow.id == message_id, NotificationMessageRow.state == WAITING
    )
    if not delivered:  # what was delivered is sent, whoever has taken it since
        mine = mine.where(NotificationMessageRow.attempts == attempt, NotificationMessageRow.claimed_by == owner)
    changed = session.scalar(mine.values(values).returning(NotificationMessageRow.id))
    return state if changed else None


def send_again(session: Session, message_id: str, now: datetime) -> NotificationMessageRow | None:
    """Have a message that was given up, or that waits, sent now; None when there is none such."""
    changed = (
        update(NotificationMessageRow)
        .where(NotificationMessageRow.id == message_id, NotificationMessageRow.state.in_((FAILED, WAITING)))
        .values(state=WAITING, due_at=now, ended_at=None, attempts_before=NotificationMessageRow.attempts)
    )
    if session.scalar(changed.returning(NotificationMessageRow.id)) is None:
        return None
    return session.get(NotificationMessageRow, message_id, populate_existing=True)


def by_id(session: Session, message_id: str) -> NotificationMessageRow | None:
    return None if "\0" in message_id else session.get(NotificationMessageRow, message_id)


def newest(session: Session, state: str | None, target: str | None, limit: int) -> Sequence[NotificationMessageRow]:
    """Return messages, the newest first."""
    query = select(NotificationMessageRow)
    if state is not None:
        query = query.where(NotificationMessageRow.state == state)
    if target is not None:
        query = query.where(NotificationMessageRow.target == target)
    return session.scalars(query.order_by(NotificationMessageRow.created_at.desc()).limit(limit)).all()


def failed_messages(session: Session, limit: int = 100) -> Sequence[NotificationMessageRow]:
    """Return the messages that were given up, the newest first: they need a person."""
    return newest(session, FAILED, None, limit)


def given_up(session: Session, after: datetime) -> list[GivenUp]:
    """Return what the first page says of the messages that were made after a time and given up, newest first."""
    row = NotificationMessageRow
    query = select(row.target, row.title, row.critical, row.created_at, row.last_reply)
    query = query.where(row.state == FAILED, row.created_at > after).order_by(row.created_at.desc()).limit(MOST)
    return [GivenUp(*each) for each in session.execute(query)]


def attempts_of(session: Session, message_id: str) -> Sequence[NotificationAttemptRow]:
    query = select(NotificationAttemptRow).where(NotificationAttemptRow.message_id == message_id)
    return session.scalars(query.order_by(NotificationAttemptRow.id)).all()


def unsent(session: Session) -> Mapping[str, tuple[int, datetime]]:
    """Return by target how many messages wait, and when the first of them was or is due first."""
    query = select(NotificationMessageRow.target, func.count(), func.min(NotificationMessageRow.first_due_at)).where(
        NotificationMessageRow.state == WAITING
    )
    rows = session.execute(query.group_by(NotificationMessageRow.target)).tuples()
    return {target: (count, oldest) for target, count, oldest in rows}


def prune(session: Session, now: datetime) -> int:
    """Delete some of the messages that are over for long enough; return how many."""
    old = select(NotificationMessageRow.id).where(
        NotificationMessageRow.state != WAITING, NotificationMessageRow.created_at < now - KEPT
    )
    ids = list(session.scalars(old.limit(AT_A_TIME)))
    if ids:
        session.execute(delete(NotificationAttemptRow).where(NotificationAttemptRow.message_id.in_(ids)))
        session.execute(delete(NotificationRow).where(NotificationRow.message_id.in_(ids)))
        session.execute(delete(NotificationMessageRow).where(NotificationMessageRow.id.in_(ids)))
    return len(ids)


def _sendable(now: datetime) -> ColumnElement[bool]:
    """Whether a message is due, and nobody is sending it."""
    row = NotificationMessageRow
    free = or_(row.claimed_until.is_(None), row.claimed_until <= now)
    return and_(row.state == WAITING, row.due_at <= now, free)


def _item(row: NotificationRow) -> Item:
    said = row.said
    return Item(
        source=row.source,
        event_id=row.event_id,
        type=row.type,
        model_name=row.model_name,
        model_version=row.model_version,
        severity=Severity(row.severity),
        at=row.at,
        title=said["title"],
        reason=said["reason"],
        figures=tuple((name, value) for name, value in said["figures"]),
        badness=said["badness"],
        path=said["path"],
    )
