"""What the first page reads without the past: numbers of versions by state, kept by the database, and indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

LESS = "UPDATE candidate_counts SET versions = versions - 1 WHERE model_name = OLD.model_name AND state = OLD.state;"
MORE = """
INSERT INTO candidate_counts (model_name, state, versions) VALUES (NEW.model_name, NEW.state, 1)
ON CONFLICT (model_name, state) DO UPDATE SET versions = candidate_counts.versions + 1;
"""
SQLITE = {
    "insert": f"AFTER INSERT ON candidates BEGIN {MORE} END",
    "update": f"AFTER UPDATE OF state ON candidates WHEN OLD.state <> NEW.state BEGIN {LESS} {MORE} END",
    "delete": f"AFTER DELETE ON candidates BEGIN {LESS} END",
}
POSTGRES = f"""
CREATE FUNCTION count_candidates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = NEW.state THEN RETURN NULL; END IF;
    IF TG_OP <> 'INSERT' THEN {LESS} END IF;
    IF TG_OP <> 'DELETE' THEN {MORE} END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "candidate_counts",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("versions", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "state", name="pk_candidate_counts"),
    )
    op.execute(
        "INSERT INTO candidate_counts SELECT model_name, state, count(*) FROM candidates GROUP BY model_name, state"
    )
    if op.get_bind().dialect.name == "sqlite":
        for name, trigger in SQLITE.items():
            op.execute(f"CREATE TRIGGER candidates_counted_on_{name} {trigger}")
    else:
        op.execute(POSTGRES)
        # At the end of the transaction: its lock on the number is the last that it takes, so that no two wait for
        # each other.
        op.execute(
            "CREATE CONSTRAINT TRIGGER candidates_counted AFTER INSERT OR DELETE OR UPDATE OF state ON candidates"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_candidates()"
        )
    op.create_index("ix_candidates_judged", "candidates", ["model_name", "state", "judged_at", "model_version"])
    quarantined = sa.text("quarantine IS NOT NULL")
    op.create_index(
        "ix_candidates_quarantined",
        "candidates",
        ["model_name", "model_version"],
        sqlite_where=quarantined,
        postgresql_where=quarantined,
    )
    op.create_index("ix_event_log_model_name_type_id", "event_log", ["model_name", "type", "id"])
    op.create_index("ix_rollouts_ended_at", "rollouts", ["ended_at"])
    op.create_index("ix_replicas_model_name", "replicas", ["model_name"])
    op.create_index("ix_rollouts_candidate_id", "rollouts", ["candidate_id"])
    op.create_index("ix_rollouts_began_at", "rollouts", ["began_at"])
    op.create_index("ix_benchmarks_due_at", "benchmarks", ["due_at"])
    op.create_index(
        "ix_promotions_restored",
        "promotions",
        ["model_name", "promoted_at"],
        sqlite_where=sa.text("restored IS 1"),
        postgresql_where=sa.text("restored IS true"),
    )
