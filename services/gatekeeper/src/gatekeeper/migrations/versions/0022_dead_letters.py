"""Messages that a service gave up on, as the topic dead-letters has them, for the console."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, UtcDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(600), nullable=False),
        sa.Column("service", sa.String(200), nullable=False),
        sa.Column("topic", sa.String(250), nullable=False),
        sa.Column("model_name", sa.String(200)),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("bytes", sa.Integer),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("at_partition", sa.Integer, nullable=False),
        sa.Column("at_offset", BigId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_at", "dead_letters", ["at"])
