"""Rollouts, approvals, and the challenger that waits for the end of one."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("rollout_revision", sa.Integer, nullable=False, server_default="0"))
    op.add_column("candidates", sa.Column("quarantine", sa.Text))
    op.add_column("candidates", sa.Column("registered_by", Json))
    for name, kind in (("tried_version", sa.Integer), ("tried_rollout", sa.String(250)), ("tried_since", UtcDateTime)):
        op.add_column("replicas", sa.Column(name, kind))
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(250), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("candidate_id", sa.String(220), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("champion_version", sa.Integer),
        sa.Column("champion_epoch", sa.Integer, nullable=False),
        sa.Column("challenge", Json, nullable=False),
        sa.Column("policy_digest", sa.String(80), nullable=False),
        sa.Column("plan", Json, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("salt", sa.String(40), nullable=False),
        sa.Column("tried", Json, nullable=False),
        sa.Column("loss", Json),
        sa.Column("label_maturity_seconds", sa.Float, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("step_began_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("measured", Json),
        sa.Column("figures", Json, nullable=False),
        sa.Column("history", Json, nullable=False),
        sa.Column("verdict_digest", sa.String(80), nullable=False),
        sa.Column("result", sa.String(20)),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("correlation_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
    )
    running = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_rollouts_running", "rollouts", ["model_name"], unique=True, sqlite_where=running, postgresql_where=running
    )
    op.create_index("ix_rollouts_model_name", "rollouts", ["model_name"])
    op.create_table(
        "approvals",
        sa.Column("sequence", BigId, nullable=False, autoincrement=True),
        sa.Column("rollout_id", sa.String(250), nullable=False),
        sa.Column("verdict_digest", sa.String(80), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_approvals"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_approvals_rollout_id"),
        sa.UniqueConstraint(
            "rollout_id", "verdict_digest", "actor", name="uq_approvals_rollout_id_verdict_digest_actor"
        ),
    )
    op.create_table(
        "waiting_challengers",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("candidate_id", sa.String(220), nullable=False),
        sa.Column("challenge", Json, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("model_name", name="pk_waiting_challengers"),
    )
