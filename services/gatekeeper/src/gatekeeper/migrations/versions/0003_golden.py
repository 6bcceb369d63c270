"""Golden datasets, and which one each candidate was judged on."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "golden",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "digest", name="pk_golden"),
        sa.UniqueConstraint("model_name", "number", name="uq_golden_model_name_number"),
    )
    op.add_column("candidates", sa.Column("golden_digest", sa.String(80)))
    op.create_index("ix_candidates_golden_digest", "candidates", ["golden_digest"])
