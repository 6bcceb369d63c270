"""Events of all services as they came, for stories, notifications and the console."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_log",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("source", sa.String(500), nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("causation_id", sa.Text),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_log"),
        sa.UniqueConstraint("source", "event_id", name="uq_event_log_source_event_id"),
    )
    op.create_index("ix_event_log_correlation_id", "event_log", ["correlation_id"])
    op.create_index("ix_event_log_model_name_id", "event_log", ["model_name", "id"])
    op.create_index("ix_event_log_type_id", "event_log", ["type", "id"])
    op.create_index("ix_event_log_received_at", "event_log", ["received_at"])
