"""Golden predictions of a version that passed, and the importance of its columns."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("golden_predictions", Json))
    op.add_column("candidates", sa.Column("importance", Json))
