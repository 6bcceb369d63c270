"""Golden datasets name their label, entity and event time."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("label", "entity", "event_time"):
        op.add_column("golden", sa.Column(name, sa.Text))
