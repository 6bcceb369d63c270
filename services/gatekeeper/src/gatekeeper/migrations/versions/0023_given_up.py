"""An index of messages by state and time: those that were given up are on the first page."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_notification_messages_state", "notification_messages", ["state", "created_at"])
