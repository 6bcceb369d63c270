"""The audit trail becomes a chain: a gapless sequence instead of the id, digests, and the head.

Existing rows are chained in the order of their ids. Earlier changes to them cannot be detected.
"""

from dataclasses import asdict

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime
from gatekeeper.policy.hash_chain import GENESIS, Entry, linked, plain  # the digests fix their format permanently

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000
KEPT = ("at", "actor", "action", "model_name", "model_version", "reason", "evidence", "correlation_id")

old = sa.table(
    "audit",
    sa.column("id", BigId),
    sa.column("at", UtcDateTime),
    *(sa.column(name) for name in ("actor", "action", "model_name", "model_version", "reason")),
    sa.column("evidence", Json),
    sa.column("correlation_id"),
)


def upgrade() -> None:
    new = op.create_table(
        "audit_chained",
        sa.Column("sequence", BigId, autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("correlation_id", sa.Text),
        sa.Column("previous_digest", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_chained"),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("count", BigId, nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        sa.CheckConstraint("id = 1", name="ck_audit_head_one"),
    )
    count, last = _chain(op.get_bind(), new)
    op.bulk_insert(head, [{"id": 1, "count": count, "digest": last}])
    op.drop_index("ix_audit_model_name", "audit")
    op.drop_table("audit")
    op.rename_table("audit_chained", "audit")
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not expose constraint names
        op.execute("ALTER TABLE audit RENAME CONSTRAINT pk_audit_chained TO pk_audit")
    op.create_index("ix_audit_model_name", "audit", ["model_name"])


def _chain(bind: sa.Connection, new: sa.Table) -> tuple[int, str]:
    count, last, last_id = 0, GENESIS, -1
    while True:
        page = bind.execute(sa.select(old).where(old.c.id > last_id).order_by(old.c.id).limit(ROWS_AT_ONCE)).all()
        entries = []
        for row in page:
            kept = {name: getattr(row, name) for name in KEPT} | {"evidence": plain(row.evidence)}
            entry = linked(Entry(sequence=count + 1, previous_digest=last, **kept))
            entries.append(asdict(entry))
            count, last, last_id = entry.sequence, entry.digest, row.id
        if not entries:
            return count, last
        op.bulk_insert(new, entries)
