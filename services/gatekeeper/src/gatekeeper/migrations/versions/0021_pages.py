"""Indexes of what the console shows a page at a time: timelines of models, and the audit trail by who and what."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_candidates_timeline", "candidates", ["model_name", "registered_at", "model_version"])
    op.create_index("ix_promotions_timeline", "promotions", ["model_name", "promoted_at", "epoch"])
    op.create_index("ix_promotions_version", "promotions", ["model_name", "model_version", "epoch"])
    op.drop_index("ix_audit_model_name", "audit")
    op.create_index("ix_audit_model_name_sequence", "audit", ["model_name", "sequence"])
    op.create_index("ix_audit_actor_sequence", "audit", ["actor", "sequence"])
    op.create_index("ix_audit_action_sequence", "audit", ["action", "sequence"])
