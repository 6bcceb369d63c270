"""The jobs that failed lately, and those of a kind and key, without reading all that have ended."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_state_ended_at", "jobs", ["state", "ended_at"])
    op.drop_index("ix_jobs_state", "jobs")
    op.create_index("ix_jobs_key_kind_state_sequence", "jobs", ["key", "kind", "state", "sequence"])
