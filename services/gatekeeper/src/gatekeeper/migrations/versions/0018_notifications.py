"""Notifications: what is said to whom, the messages that carry it, and each attempt to send one."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notification_cursor",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("event_log_id", BigId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification_cursor"),
    )
    op.create_table(
        "notification_subscriptions",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notification_subscriptions"),
    )
    op.create_table(
        "notification_messages",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("subscription", sa.String(100), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("grouped_by", sa.String(250)),
        sa.Column("critical", sa.Boolean, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("model_name", sa.String(200)),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("first_due_at", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempts_before", sa.Integer, nullable=False),
        sa.Column("claimed_by", sa.String(200)),
        sa.Column("claimed_until", UtcDateTime),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("last_reply", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_notification_messages"),
    )
    op.create_index("ix_notification_messages_due", "notification_messages", ["state", "target", "due_at"])
    op.create_index("ix_notification_messages_created_at", "notification_messages", ["created_at"])
    op.create_index(
        "ix_notification_messages_subscription", "notification_messages", ["subscription", "target", "due_at"]
    )
    op.create_table(
        "notifications",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("source", sa.String(500), nullable=False),
        sa.Column("event_id", sa.String(500), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("message_id", sa.String(40), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("said", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.UniqueConstraint("source", "event_id", "target", name="uq_notifications_source_event_id_target"),
        sa.ForeignKeyConstraint(["message_id"], ["notification_messages.id"], name="fk_notifications_message_id"),
    )
    op.create_index("ix_notifications_message_id", "notifications", ["message_id"])
    op.create_table(
        "notification_attempts",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("message_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("delivered", sa.Boolean, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification_attempts"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["notification_messages.id"], name="fk_notification_attempts_message_id"
        ),
    )
    op.create_index("ix_notification_attempts_message_id", "notification_attempts", ["message_id"])
