"""How the predictions of a version are read: problem and classes of its promotion."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "drift_0002"
down_revision = "drift_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drift_versions", sa.Column("output", Json))
