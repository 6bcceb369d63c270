"""Models, versions, windows, predictions, labels and reports."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import BigId, Json, UtcDateTime

revision = "drift_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_models",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("champion_version", sa.Integer, nullable=True),
        sa.Column("epoch", sa.Integer, nullable=True),
        sa.PrimaryKeyConstraint("model_name", name="pk_drift_models"),
    )
    op.create_table(
        "drift_versions",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=True),
        sa.Column("promoted_at", UtcDateTime, nullable=True),
        sa.Column("metric", sa.Text, nullable=True),
        sa.Column("baseline", Json, nullable=False),
        sa.Column("reference", Json, nullable=True),
        sa.Column("next_number", sa.Integer, nullable=False),
        sa.Column("known_until", UtcDateTime, nullable=True),
        sa.Column("last_detected_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("model_name", "model_version", name="pk_drift_versions"),
    )
    _create_windows()
    _create_predictions()
    op.create_table(
        "drift_labels",
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("entity_id", sa.String(200), nullable=True),
        sa.Column("event_time", UtcDateTime, nullable=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("sent_at", UtcDateTime, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "key", name="pk_drift_labels"),
    )
    op.create_index("ix_drift_labels_entity", "drift_labels", ["model_name", "entity_id"])
    op.create_index("ix_drift_labels_received_at", "drift_labels", ["received_at"])
    op.create_table(
        "drift_reports",
        sa.Column("window_key", BigId, nullable=False),
        sa.Column("page", sa.LargeBinary, nullable=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("window_key", name="pk_drift_reports"),
        sa.ForeignKeyConstraint(
            ["window_key"], ["drift_windows.key"], name="fk_drift_reports_window_key_drift_windows"
        ),
    )


def _create_windows() -> None:
    op.create_table(
        "drift_windows",
        sa.Column("key", BigId, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(250), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("labelled", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("closed_at", UtcDateTime, nullable=True),
        sa.Column("start", UtcDateTime, nullable=True),
        sa.Column("end", UtcDateTime, nullable=True),
        sa.Column("pruned", sa.Boolean, nullable=False),
        sa.Column("data_outcome", sa.String(20), nullable=True),
        sa.Column("data_reason", sa.Text, nullable=True),
        sa.Column("data_held", sa.Text, nullable=True),
        sa.Column("data_event_id", sa.String(300), nullable=True),
        sa.Column("drift_share", sa.Float, nullable=True),
        sa.Column("drift_share_limit", sa.Float, nullable=True),
        sa.Column("scores", Json, nullable=False),
        sa.Column("not_compared", Json, nullable=False),
        sa.Column("scored_at", UtcDateTime, nullable=True),
        sa.Column("performance_outcome", sa.String(20), nullable=True),
        sa.Column("performance_reason", sa.Text, nullable=True),
        sa.Column("performance_held", sa.Text, nullable=True),
        sa.Column("performance_event_id", sa.String(300), nullable=True),
        sa.Column("metric", sa.Text, nullable=True),
        sa.Column("observed", sa.Float, nullable=True),
        sa.Column("bound", sa.Float, nullable=True),
        sa.Column("performance_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_drift_windows"),
        sa.UniqueConstraint("id", name="uq_drift_windows_id"),
    )
    op.create_index("ix_drift_windows_version", "drift_windows", ["model_name", "model_version", "number"], unique=True)
    op.create_index("ix_drift_windows_state", "drift_windows", ["state"])


def _create_predictions() -> None:
    op.create_table(
        "drift_predictions",
        sa.Column("seq", BigId, autoincrement=True, nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("request_id", sa.String(200), nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("window_key", BigId, nullable=False),
        sa.Column("entity_id", sa.String(200), nullable=True),
        sa.Column("event_time", UtcDateTime, nullable=True),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("score", sa.Float, nullable=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("features", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_drift_predictions"),
        sa.UniqueConstraint("model_name", "request_id", "row", name="uq_drift_predictions_model_name_request_id_row"),
        sa.ForeignKeyConstraint(
            ["window_key"], ["drift_windows.key"], name="fk_drift_predictions_window_key_drift_windows"
        ),
    )
    op.create_index("ix_drift_predictions_window", "drift_predictions", ["window_key"])
    unlabelled = sa.text("entity_id IS NOT NULL AND label IS NULL")
    op.create_index(
        "ix_drift_predictions_unlabelled_entity",
        "drift_predictions",
        ["model_name", "entity_id"],
        sqlite_where=unlabelled,
        postgresql_where=unlabelled,
    )
