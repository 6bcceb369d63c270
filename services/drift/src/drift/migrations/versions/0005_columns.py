"""Rows of windows as columns; where each row is, and labels, as narrow rows. What there was is carried over."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime, UtcMicroseconds
from drift.database.columns import Made, columns_of
from drift.database.records import key_of_event, loads, row_key, unit_key

revision = "drift_0005"
down_revision = "drift_0004"
branch_labels = None
depends_on = None

AT_A_TIME = 5000


def upgrade() -> None:
    chunks = op.create_table(
        "drift_chunks",
        sa.Column("window_key", BigId, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("made_from", UtcMicroseconds, nullable=False),
        sa.Column("made_until", UtcMicroseconds, nullable=False),
        sa.Column("kinds", Json, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("window_key", "first", name="pk_drift_chunks"),
        sa.ForeignKeyConstraint(["window_key"], ["drift_windows.key"], name="fk_drift_chunks_window_key_drift_windows"),
    )
    places = op.create_table(
        "drift_places",
        sa.Column("key", BigId, autoincrement=False, nullable=False),
        sa.Column("window_key", BigId, nullable=False),
        sa.Column("seat", sa.Integer, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=True),
        sa.Column("made_at", UtcMicroseconds, nullable=False),
        sa.Column("event_time", UtcMicroseconds, nullable=True),
        sa.Column("labelled", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_drift_places"),
    )
    given = op.create_table(
        "drift_given_labels",
        sa.Column("window_key", sa.BigInteger, nullable=False),
        sa.Column("seat", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("labelled_at", UtcMicroseconds, nullable=True),
        sa.PrimaryKeyConstraint("window_key", "seat", name="pk_drift_given_labels"),
        sqlite_with_rowid=False,
    )
    labels = op.create_table(
        "drift_ground_truth",
        sa.Column("key", BigId, autoincrement=False, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=True),
        sa.Column("event_time", UtcMicroseconds, nullable=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("sent_at", UtcMicroseconds, nullable=False),
        sa.Column("received_at", UtcMicroseconds, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_drift_ground_truth"),
    )
    _carry_rows_over(op.get_bind(), chunks, places, given)
    _carry_labels_over(op.get_bind(), labels)
    op.drop_table("drift_predictions")
    op.drop_table("drift_labels")
    unlabelled = sa.text("unit IS NOT NULL AND labelled = 0")
    op.create_index(
        "ix_drift_places_unit", "drift_places", ["unit"], sqlite_where=unlabelled, postgresql_where=unlabelled
    )
    known = sa.text("unit IS NOT NULL")
    op.create_index(
        "ix_drift_ground_truth_unit", "drift_ground_truth", ["unit"], sqlite_where=known, postgresql_where=known
    )
    op.create_index("ix_drift_ground_truth_received_at", "drift_ground_truth", ["received_at"])


def _carry_rows_over(connection: sa.Connection, chunks: sa.Table, places: sa.Table, given: sa.Table) -> None:
    old = sa.table(
        "drift_predictions",
        sa.column("seq", BigId),
        sa.column("model_name", sa.String),
        sa.column("request_id", sa.String),
        sa.column("row", sa.Integer),
        sa.column("window_key", BigId),
        sa.column("entity_id", sa.String),
        sa.column("event_time", UtcDateTime),
        sa.column("made_at", UtcDateTime),
        sa.column("score", sa.Float),
        sa.column("answer", sa.Text),
        sa.column("features", sa.Text),
        sa.column("label", sa.Text),
    )
    windows = connection.scalars(sa.select(old.c.window_key).distinct().order_by(old.c.window_key)).all()
    for window_key in windows:
        of_window = sa.select(old).where(old.c.window_key == window_key).order_by(old.c.seq)
        seat, last = 0, 0
        while found := connection.execute(of_window.where(old.c.seq > last).limit(AT_A_TIME)).all():
            made = [_made(row) for row in found]
            columns = columns_of(made)
            connection.execute(
                sa.insert(chunks),
                {
                    "window_key": window_key,
                    "first": seat,
                    "rows": len(made),
                    "made_from": min(row.made_at for row in made),
                    "made_until": max(row.made_at for row in made),
                    "kinds": columns.kinds,
                    "data": columns.encoded(),
                },
            )
            rows = [
                {
                    "key": row.key,
                    "window_key": window_key,
                    "seat": place,
                    "unit": row.unit,
                    "made_at": row.made_at,
                    "event_time": row.event_time,
                    "labelled": int(before.label is not None),
                }
                for place, (row, before) in enumerate(zip(made, found, strict=True), seat)
            ]
            connection.execute(sa.insert(places), rows)
            known = [
                {"window_key": window_key, "seat": place, "label": before.label, "labelled_at": None}
                for place, before in enumerate(found, seat)
                if before.label is not None
            ]
            if known:
                connection.execute(sa.insert(given), known)
            seat, last = seat + len(found), found[-1].seq


def _made(row: sa.Row) -> Made:
    entity = row.entity_id
    return Made(
        row.model_name,
        0,
        row.request_id,
        row.row,
        row_key(row.model_name, row.request_id, row.row),
        entity,
        None if entity is None else unit_key(row.model_name, entity),
        row.event_time,
        row.made_at,
        row.score,
        loads(row.answer),
        loads(row.features),
    )


def _carry_labels_over(connection: sa.Connection, labels: sa.Table) -> None:
    old = sa.table(
        "drift_labels",
        sa.column("model_name", sa.String),
        sa.column("key", sa.String),
        sa.column("entity_id", sa.String),
        sa.column("event_time", UtcDateTime),
        sa.column("label", sa.Text),
        sa.column("sent_at", UtcDateTime),
        sa.column("received_at", UtcDateTime),
    )
    after = ("", "")
    order = sa.tuple_(old.c.model_name, old.c.key)
    while found := connection.execute(
        sa.select(old).where(order > after).order_by(old.c.model_name, old.c.key).limit(AT_A_TIME)
    ).all():
        rows = {
            key: {
                "key": key,
                "unit": None if row.entity_id is None else unit_key(row.model_name, row.entity_id),
                "event_time": row.event_time,
                "label": row.label,
                "sent_at": row.sent_at,
                "received_at": row.received_at,
            }
            for row in found
            for key in [_label_key(row)]
        }
        connection.execute(sa.insert(labels), list(rows.values()))
        after = (found[-1].model_name, found[-1].key)


def _label_key(row: sa.Row) -> int:
    """A label by entity has the hash of its event as key, that of the old build; one of a request names the row."""
    if row.entity_id is not None:
        return key_of_event(row.model_name, row.key)
    number, _, request_id = row.key.partition(":")
    return row_key(row.model_name, request_id, int(number))
