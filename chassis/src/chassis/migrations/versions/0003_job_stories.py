"""Jobs by the story that they are part of. Those that are there already stay without."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("correlation_id", sa.Text))
    # A hash: PostgreSQL takes no long value into another index, and a correlation id may come from anybody.
    op.create_index("ix_jobs_correlation_id", "jobs", ["correlation_id"], postgresql_using="hash")
