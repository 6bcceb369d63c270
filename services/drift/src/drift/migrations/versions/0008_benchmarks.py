"""The schedule of benchmarks."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import UtcDateTime

revision = "drift_0008"
down_revision = "drift_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_benchmarks",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("period", UtcDateTime, nullable=True),
        sa.Column("running", sa.String(250), nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("waits", sa.Text, nullable=True),
        sa.Column("look_after", UtcDateTime, nullable=True),
        sa.Column("newest", sa.String(250), nullable=True),
        sa.Column("announced_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("model_name", name="pk_drift_benchmarks"),
    )
