"""How the predictions of a candidate are read: as its gates read them."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("output", Json))
