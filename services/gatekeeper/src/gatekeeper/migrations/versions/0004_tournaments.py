"""Tournaments caused by a drift."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tournaments",
        sa.Column("id", sa.String(240), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("golden_digest", sa.String(80), nullable=False),
        sa.Column("champion_version", sa.Integer, nullable=False),
        sa.Column("winner", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("policy_digest", sa.String(80), nullable=False),
        sa.Column("drift_event_id", sa.Text),
        sa.Column("played_at", UtcDateTime, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tournaments"),
        sa.UniqueConstraint("model_name", "golden_digest", name="uq_tournaments_model_name_golden_digest"),
    )
