"""Tables of notifications: what is said to whom, the messages that carry it, and what became of each attempt."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base

WAITING, SENT, FAILED = "waiting", "sent", "failed"


class NotificationCursorRow(Base):
    """How far the log of events has been read; one row. Without one, notifications are off."""

    __tablename__ = "notification_cursor"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    event_log_id: Mapped[int] = mapped_column(BigId)


class NotificationSubscriptionRow(Base):
    """Since when a subscription is known: events from before are not sent."""

    __tablename__ = "notification_subscriptions"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NotificationMessageRow(Base):
    """One message to one target; its id stays the same over all attempts."""

    __tablename__ = "notification_messages"
    __table_args__ = (
        Index("ix_notification_messages_due", "state", "target", "due_at"),
        Index("ix_notification_messages_created_at", "created_at"),
        Index("ix_notification_messages_state", "state", "created_at"),
        Index("ix_notification_messages_subscription", "subscription", "target", "due_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    subscription: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(100))
    group: Mapped[str | None] = mapped_column("grouped_by", String(250))
    """Which events may join until it is due; None: it is of one event."""
    critical: Mapped[bool] = mapped_column(Boolean)
    title: Mapped[str] = mapped_column(Text)
    """Of the first event, for listings; the message itself is made of all."""
    model_name: Mapped[str | None] = mapped_column(String(200))
    """None: of several models."""
    events: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it is sent, or sent again."""
    first_due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer)
    attempts_before: Mapped[int] = mapped_column(Integer)
    """Attempts before a person had it sent again."""
    claimed_by: Mapped[str | None] = mapped_column(String(200))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until then nobody else sends it."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was sent, or given up."""
    last_reply: Mapped[str | None] = mapped_column(Text)


class NotificationRow(Base):
    """One event to one target, once: what is said of it, written with the cursor."""

    __tablename__ = "notifications"
    __table_args__ = (UniqueConstraint("source", "event_id", "target"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(String(500))
    event_id: Mapped[str] = mapped_column(String(500))
    target: Mapped[str] = mapped_column(String(100))
    message_id: Mapped[str] = mapped_column(ForeignKey("notification_messages.id"), index=True)
    type: Mapped[str] = mapped_column(String(100))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int | None] = mapped_column(Integer)
    severity: Mapped[str] = mapped_column(String(20))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    said: Mapped[dict[str, Any]] = mapped_column(Json)
    """See `policy.notifications.wording.Said`."""


class NotificationAttemptRow(Base):
    """One attempt to send a message, and what the target replied."""

    __tablename__ = "notification_attempts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    message_id: Mapped[str] = mapped_column(ForeignKey("notification_messages.id"), index=True)
    attempt: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    seconds: Mapped[float] = mapped_column(Float)
    delivered: Mapped[bool] = mapped_column(Boolean)
    reply: Mapped[str] = mapped_column(Text)
