"""Benchmarks."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "benchmarks",
        sa.Column("id", sa.String(250), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("due", Json, nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=True),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("champion_version", sa.Integer, nullable=True),
        sa.Column("winner", sa.Integer, nullable=True),
        sa.Column("results", Json, nullable=True),
        sa.Column("completed", Json, nullable=True),
        sa.Column("completed_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_benchmarks"),
    )
    op.create_index("ix_benchmarks_model_name", "benchmarks", ["model_name"])
