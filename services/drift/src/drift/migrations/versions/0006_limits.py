"""Past windows as sketches, and the limits that were calibrated on them."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "drift_0006"
down_revision = "drift_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_past_windows",
        sa.Column("window_key", BigId, autoincrement=False, nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("start", UtcDateTime, nullable=True),
        sa.Column("sketches", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("window_key", name="pk_drift_past_windows"),
    )
    op.create_index("ix_drift_past_windows_model", "drift_past_windows", ["model_name", "rows"])
    op.create_table(
        "drift_limits",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("calibrated_at", UtcDateTime, nullable=False),
        sa.Column("limits", Json, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "model_version", "rows", name="pk_drift_limits"),
    )
