"""Records of the bus that were not believed, so that each is audited once."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import UtcDateTime

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refused_records",
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_refused_records"),
    )
    op.create_index("ix_refused_records_at", "refused_records", ["at"])
