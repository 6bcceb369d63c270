"""Rollouts: steps with their sums, and what tells a duplicate; totals of each version."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "drift_0003"
down_revision = "drift_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drift_versions", sa.Column("predicted", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("drift_versions", sa.Column("failed", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "drift_rollout_steps",
        sa.Column("key", BigId, autoincrement=True, nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("rollout_id", sa.String(250), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=True),
        sa.Column("changed", Json, nullable=True),
        sa.Column("sums", Json, nullable=True),
        sa.Column("history", sa.Integer, nullable=False),
        sa.Column("history_errors", sa.Integer, nullable=False),
        sa.Column("counted_from", UtcDateTime, nullable=True),
        sa.Column("recounting", sa.Boolean, nullable=False),
        sa.Column("unsent", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("measured_at", UtcDateTime, nullable=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
        sa.Column("pruned", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_drift_rollout_steps"),
        sa.UniqueConstraint(
            "model_name", "rollout_id", "step", name="uq_drift_rollout_steps_model_name_rollout_id_step"
        ),
    )
    op.create_index("ix_drift_rollout_steps_state", "drift_rollout_steps", ["state"])
    _create_rows()
    op.create_table(
        "drift_failures",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "key", name="pk_drift_failures"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_drift_failures_received_at", "drift_failures", ["received_at"])
    op.create_table(
        "drift_birth",
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("born_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_drift_birth"),
    )


def _create_rows() -> None:
    op.create_table(
        "drift_rollout_seen",
        sa.Column("step_key", sa.BigInteger, nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("step_key", "key", name="pk_drift_rollout_seen"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drift_rollout_units",
        sa.Column("step_key", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("assigned", sa.SmallInteger, nullable=False),
        sa.Column("labelled", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("step_key", "unit", name="pk_drift_rollout_units"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drift_rollout_waiting",
        sa.Column("step_key", sa.BigInteger, nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=True),
        sa.Column("arm", sa.SmallInteger, nullable=True),
        sa.Column("event_time", UtcDateTime, nullable=True),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("predicted", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("step_key", "key", name="pk_drift_rollout_waiting"),
        sqlite_with_rowid=False,
    )
    for name, columns, where in (
        ("ix_drift_rollout_waiting_unit", ["step_key", "unit"], sa.text("unit IS NOT NULL")),
        ("ix_drift_rollout_waiting_labelled", ["step_key", "made_at"], sa.text("label IS NOT NULL")),
    ):
        op.create_index(name, "drift_rollout_waiting", columns, sqlite_where=where, postgresql_where=where)
