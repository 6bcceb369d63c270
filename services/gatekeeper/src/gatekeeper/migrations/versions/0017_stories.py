"""What a story is found by: decisions by correlation id, events by their id and by version."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A hash: PostgreSQL takes no long value into another index, and a correlation id may come from anybody.
    op.create_index("ix_audit_correlation_id", "audit", ["correlation_id"], postgresql_using="hash")
    op.create_index("ix_event_log_event_id", "event_log", ["event_id"])
    op.create_index("ix_event_log_model_name_version_id", "event_log", ["model_name", "model_version", "id"])
