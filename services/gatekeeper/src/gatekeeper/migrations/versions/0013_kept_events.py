"""Events as they were published, with their signatures: topics and the outbox do not keep them for ever."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_events",
        sa.Column("number", BigId, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=True),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_kept_events"),
    )
    op.create_index("ix_kept_events_model_name_model_version", "kept_events", ["model_name", "model_version"])
    op.create_index("ix_kept_events_type", "kept_events", ["type"])
