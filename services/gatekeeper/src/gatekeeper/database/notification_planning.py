"""Statements of the planner of notifications: how far the log is read, and what is to be told to whom.

Every function uses the caller's session; the caller commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, case, delete, select, update
from sqlalchemy.orm import Session

from contracts.notification_settings import Severity
from gatekeeper.database import event_log
from gatekeeper.database.notification_tables import (
    WAITING,
    NotificationCursorRow,
    NotificationMessageRow,
    NotificationRow,
    NotificationSubscriptionRow,
)
from gatekeeper.database.queries import insert_of
from gatekeeper.policy.notifications.scheduling import Waiting
from gatekeeper.policy.notifications.wording import Said

THE_ONE = 1


def lock_cursor(session: Session) -> NotificationCursorRow:
    """Return the cursor, locked until the transaction ends; a new one is at the end of the log."""
    row = {"id": THE_ONE, "event_log_id": event_log.newest_id(session)}
    session.execute(insert_of(session)(NotificationCursorRow).values(row).on_conflict_do_nothing())
    return session.scalars(select(NotificationCursorRow).with_for_update()).one()


def position(session: Session) -> int | None:
    """Return how far the log has been read; None before the first time."""
    return session.scalar(select(NotificationCursorRow.event_log_id))


def forget_begin(session: Session) -> None:
    """Notifications are off: when they are on again, what happened meanwhile is the past."""
    session.execute(delete(NotificationCursorRow))
    session.execute(delete(NotificationSubscriptionRow))


def begins(session: Session, names: Iterable[str], now: datetime) -> Mapping[str, datetime]:
    """Return since when each subscription is known; one that is new begins now."""
    query = select(NotificationSubscriptionRow.name, NotificationSubscriptionRow.began_at)
    known = dict(session.execute(query).tuples().all())
    for name in names:
        if name not in known:
            session.add(NotificationSubscriptionRow(name=name, began_at=now))
            known[name] = now
    return known


def joinable(session: Session, subscription: str, target: str, now: datetime) -> list[Waiting]:
    """Return the messages of a subscription that are not due yet and have not been sent."""
    query = select(NotificationMessageRow).where(
        NotificationMessageRow.subscription == subscription,
        NotificationMessageRow.target == target,
        NotificationMessageRow.due_at > now,
        NotificationMessageRow.group.is_not(None),
        *_untouched(),
    )
    return [Waiting(row.id, row.group or "", row.due_at) for row in session.scalars(query)]


def dues(session: Session, subscription: str, target: str, critical: bool, since: datetime) -> list[datetime]:
    """Return when messages of a subscription were or are due, from `since` on."""
    query = select(NotificationMessageRow.due_at).where(
        NotificationMessageRow.subscription == subscription,
        NotificationMessageRow.target == target,
        NotificationMessageRow.critical == critical,
        NotificationMessageRow.due_at > since,
    )
    return list(session.scalars(query))


def join(session: Session, message_id: str, now: datetime, model_name: str) -> bool:
    """Count an event of a message that waits; False when it is being sent by now. Locks it until the commit."""
    touched = update(NotificationMessageRow).where(
        NotificationMessageRow.id == message_id, NotificationMessageRow.due_at > now, *_untouched()
    )
    same = case((NotificationMessageRow.model_name == model_name, model_name), else_=None)
    counted = touched.values(events=NotificationMessageRow.events + 1, model_name=same)
    return session.scalar(counted.returning(NotificationMessageRow.id)) is not None


def add_message(
    session: Session,
    *,
    subscription: str,
    target: str,
    group: str | None,
    critical: bool,
    title: str,
    model_name: str,
    now: datetime,
    due_at: datetime,
) -> str:
    """Add a message of one event; return its id."""
    row = NotificationMessageRow(
        id=f"msg_{uuid4().hex}",
        subscription=subscription,
        target=target,
        group=group,
        critical=critical,
        title=title,
        model_name=model_name,
        events=1,
        state=WAITING,
        created_at=now,
        due_at=due_at,
        first_due_at=due_at,
        attempts=0,
        attempts_before=0,
    )
    session.add(row)
    session.flush()
    return row.id


def is_known(session: Session, source: str, event_id: str, target: str) -> bool:
    query = select(NotificationRow.id).where(
        NotificationRow.source == source, NotificationRow.event_id == event_id, NotificationRow.target == target
    )
    return session.scalar(query) is not None


def add_notification(
    session: Session,
    message_id: str,
    target: str,
    *,
    source: str,
    event_id: str,
    event_type: str,
    model_name: str,
    model_version: int | None,
    severity: Severity,
    at: datetime,
    words: Said,
) -> None:
    row = NotificationRow(
        source=source,
        event_id=event_id,
        target=target,
        message_id=message_id,
        type=event_type,
        model_name=model_name,
        model_version=model_version,
        severity=severity.value,
        at=at,
        said=asdict(words),
    )
    session.add(row)


def _untouched() -> tuple[ColumnElement[bool], ...]:
    return (
        NotificationMessageRow.state == WAITING,
        NotificationMessageRow.attempts == 0,
        NotificationMessageRow.claimed_until.is_(None),
    )
