"""The serving artifact of a candidate that passed, stored with its model."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("serving_artifact", Json))
