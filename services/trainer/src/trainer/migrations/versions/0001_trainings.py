"""Log tails and results of training jobs."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json, UtcDateTime

revision = "trainer_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trainings",
        sa.Column("job_id", sa.String(200), nullable=False),
        sa.Column("log_tail", sa.Text, nullable=False),
        sa.Column("registered", Json, nullable=True),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_trainings"),
    )
