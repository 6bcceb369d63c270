"""A version can be judged again: earlier verdicts are kept, and each registration knows the one it led to."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("judgement", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "earlier_verdicts",
        sa.Column("candidate_id", sa.String(220), nullable=False),
        sa.Column("judgement", sa.Integer, nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("event", Json, nullable=False),
        sa.Column("artifact_digest", sa.String(80)),
        sa.Column("champion_version", sa.Integer),
        sa.Column("golden_digest", sa.String(80)),
        sa.Column("policy_digest", sa.String(80)),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("verdicts", Json, nullable=False),
        sa.Column("judged_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("candidate_id", "judgement", name="pk_earlier_verdicts"),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_earlier_verdicts_candidate_id"),
    )
    op.create_index("ix_earlier_verdicts_golden_digest", "earlier_verdicts", ["golden_digest"])
    op.create_table(
        "registrations",
        sa.Column("source", sa.String(500), nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("candidate_id", sa.String(220), nullable=False),
        sa.Column("event", Json, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("judgement", sa.Integer),
        sa.Column("kept", sa.Text),
        sa.PrimaryKeyConstraint("source", "event_id", name="pk_registrations"),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_registrations_candidate_id"),
    )
    op.create_index("ix_registrations_candidate_id", "registrations", ["candidate_id"])
