"""What a rollout's tests showed over time, and the newest rollouts of a model without reading all."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollout_points",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("rollout_id", sa.String(250), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("counted", BigId, nullable=False),
        sa.Column("total", BigId, nullable=False),
        sa.Column("findings", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout_points"),
    )
    op.create_index("ix_rollout_points_rollout_id_step_at", "rollout_points", ["rollout_id", "step", "at"])
    op.create_index("ix_rollouts_model_name_began_at", "rollouts", ["model_name", "began_at"])
