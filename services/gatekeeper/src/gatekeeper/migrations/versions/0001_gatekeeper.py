"""Models, candidates, verdicts, promotions, audit, replicas."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("frozen_by", sa.Text),
        sa.Column("frozen_reason", sa.Text),
        sa.Column("frozen_at", UtcDateTime),
        sa.Column("mirrored", Json),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "candidates",
        sa.Column("id", sa.String(220), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("event", Json, nullable=False),
        sa.Column("registered_at", UtcDateTime, nullable=False),
        sa.Column("artifact_uri", sa.Text),
        sa.Column("artifact_digest", sa.String(80)),
        sa.Column("champion_version", sa.Integer),
        sa.Column("policy_digest", sa.String(80)),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("gating_at", UtcDateTime),
        sa.Column("judged_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_candidates"),
        sa.UniqueConstraint("model_name", "model_version", name="uq_candidates_model_name_model_version"),
    )
    op.create_index("ix_candidates_state", "candidates", ["state"])
    op.create_table(
        "verdicts",
        sa.Column("candidate_id", sa.String(220), nullable=False),
        sa.Column("gate", sa.String(50), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("metric", sa.String(50)),
        sa.Column("observed", sa.Float),
        sa.Column("bound", sa.Float),
        sa.Column("margin", sa.Float),
        sa.Column("n", sa.Integer),
        sa.Column("details", Json, nullable=False),
        sa.PrimaryKeyConstraint("candidate_id", "gate", name="pk_verdicts"),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_verdicts_candidate_id"),
    )
    op.create_table(
        "promotions",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("cause", sa.String(20), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("promoted_at", UtcDateTime, nullable=False),
        sa.Column("restored", sa.Boolean, nullable=False),
        sa.Column("gated_candidate", sa.String(220)),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event", Json, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "epoch", name="pk_promotions"),
        sa.UniqueConstraint("gated_candidate", name="uq_promotions_gated_candidate"),
    )
    op.create_table(
        "audit",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("correlation_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_model_name", "audit", ["model_name"])
    op.create_table(
        "replicas",
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("epoch", sa.Integer),
        sa.Column("loaded_at", UtcDateTime),
        sa.Column("failed_version", sa.Integer),
        sa.Column("failure", sa.Text),
        sa.Column("failed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("replica", "model_name", name="pk_replicas"),
    )
