"""Delays of labels, and the sequential tests of a version's performance."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "drift_0007"
down_revision = "drift_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drift_models", sa.Column("label_delays", Json, nullable=True))
    for table in ("drift_versions", "drift_windows"):
        op.add_column(table, sa.Column("performance", Json, nullable=True))
