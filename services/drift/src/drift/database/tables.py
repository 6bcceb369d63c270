"""The tables: versions that were promoted, windows of their rows, the rows, and the labels that wait for rows.

Those of rollouts are in `drift.rollouts.tables`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base

FILLING, COMPLETE = "filling", "complete"
SCORED, REFUSED, SUPERSEDED, FAILED = "scored", "refused", "superseded", "failed"
"""filling → complete (its rows are there) → scored; or refused, superseded by another champion, or failed."""


class ModelRow(Base):
    """One model. Lock this row before changing the model's windows, rows or labels."""

    __tablename__ = "drift_models"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    champion_version: Mapped[int | None] = mapped_column(Integer)
    epoch: Mapped[int | None] = mapped_column(Integer)


class VersionRow(Base):
    """One version: the facts of its promotion and the state of its windows. `epoch` is None until promotion."""

    __tablename__ = "drift_versions"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    model_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int | None] = mapped_column(Integer)
    promoted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    metric: Mapped[str | None] = mapped_column(Text)
    baseline: Mapped[dict[str, float]] = mapped_column(Json)
    reference: Mapped[dict[str, Any] | None] = mapped_column(Json)
    output: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """How its predictions are read (OutputFormat); None for a promotion that does not say."""
    golden_predictions: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Dataset of golden rows with labels and its predictions; None for a promotion that does not say."""
    importance: Mapped[dict[str, float] | None] = mapped_column(Json)
    """By how much the metric of the golden rows is worse when a column is permuted."""
    predicted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Rows that it predicted as the champion since it is known, whether their windows are kept or not."""
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    next_number: Mapped[int] = mapped_column(Integer)
    known_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Rows of predictions made until then were pruned; a replay must not count them again."""
    last_detected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WindowRow(Base):
    """A window; `number` counts a version's windows from 1; `start` and `end` are of its rows."""

    __tablename__ = "drift_windows"
    __table_args__ = (
        UniqueConstraint("id"),
        Index("ix_drift_windows_version", "model_name", "model_version", "number", unique=True),
        Index("ix_drift_windows_state", "state"),
    )

    key: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(250))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(Integer)
    rows: Mapped[int] = mapped_column(Integer)
    labelled: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pruned: Mapped[bool] = mapped_column(Boolean)

    data_outcome: Mapped[str | None] = mapped_column(String(20))
    data_reason: Mapped[str | None] = mapped_column(Text)
    data_held: Mapped[str | None] = mapped_column(Text)
    data_event_id: Mapped[str | None] = mapped_column(String(300))
    drift_share: Mapped[float | None] = mapped_column(Float)
    drift_share_limit: Mapped[float | None] = mapped_column(Float)
    scores: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    not_compared: Mapped[dict[str, str]] = mapped_column(Json)
    scored_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    limits: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """On what its limits were calibrated, and what `drift_share` would have done."""
    prediction: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The verdict on the distribution of the predictions."""
    proxy: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The performance that is estimated without labels."""
    harm: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """HarmEstimate, of a window that has drifted."""

    performance_outcome: Mapped[str | None] = mapped_column(String(20))
    performance_reason: Mapped[str | None] = mapped_column(Text)
    performance_held: Mapped[str | None] = mapped_column(Text)
    performance_event_id: Mapped[str | None] = mapped_column(String(300))
    metric: Mapped[str | None] = mapped_column(Text)
    observed: Mapped[float | None] = mapped_column(Float)
    bound: Mapped[float | None] = mapped_column(Float)
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    """The interval of `observed`."""
    performance_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PredictionRow(Base):
    """One predicted row. `features`, `answer` and `label` are JSON texts; `seq` is the order of arrival."""

    __tablename__ = "drift_predictions"
    __table_args__ = (
        UniqueConstraint("model_name", "request_id", "row"),
        Index("ix_drift_predictions_window", "window_key"),
    )

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model_name: Mapped[str] = mapped_column(String(200))
    request_id: Mapped[str] = mapped_column(String(200))
    row: Mapped[int] = mapped_column(Integer)
    window_key: Mapped[int] = mapped_column(BigId, ForeignKey("drift_windows.key"))
    entity_id: Mapped[str | None] = mapped_column(String(200))
    event_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    score: Mapped[float | None] = mapped_column(Float)
    answer: Mapped[str] = mapped_column(Text)
    features: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)


Index(
    "ix_drift_predictions_unlabelled_entity",
    PredictionRow.model_name,
    PredictionRow.entity_id,
    sqlite_where=PredictionRow.entity_id.is_not(None) & PredictionRow.label.is_(None),
    postgresql_where=PredictionRow.entity_id.is_not(None) & PredictionRow.label.is_(None),
)


class LabelRow(Base):
    """A label; it may arrive before its prediction, and twice. One of request and entity is set."""

    __tablename__ = "drift_labels"
    __table_args__ = (
        Index("ix_drift_labels_entity", "model_name", "entity_id"),
        Index("ix_drift_labels_received_at", "received_at"),
    )

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(250), primary_key=True)
    """request id and row, or the identity of the event for a label by entity."""
    entity_id: Mapped[str | None] = mapped_column(String(200))
    event_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    label: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FailureRow(Base):
    """A row that a champion failed on: kept for as long as its event may come again."""

    __tablename__ = "drift_failures"
    __table_args__ = (
        Index("ix_drift_failures_received_at", "received_at"),
        {"sqlite_with_rowid": False},
    )

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReportRow(Base):
    """Evidently's page of a window, gzipped. In the database, so that every replica can return it."""

    __tablename__ = "drift_reports"

    window_key: Mapped[int] = mapped_column(BigId, ForeignKey("drift_windows.key"), primary_key=True)
    page: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None: no data to plot."""
    note: Mapped[str] = mapped_column(Text)


class BenchmarkRow(Base):
    """The benchmarks of one model: the period of the newest, the one that runs, and why the next one waits."""

    __tablename__ = "drift_benchmarks"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    period: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """End of the last period that had a benchmark."""
    running: Mapped[str | None] = mapped_column(String(250))
    """Id of the benchmark whose rows are being stored."""
    attempts: Mapped[int] = mapped_column(Integer)
    waits: Mapped[str | None] = mapped_column(Text)
    """Why there is none although the period has ended."""
    look_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    newest: Mapped[str | None] = mapped_column(String(250))
    """Id of the newest benchmark whose rows were stored."""
    announced_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BirthRow(Base):
    """When this database was created: what an earlier one had read is not in it. One row."""

    __tablename__ = "drift_birth"

    key: Mapped[int] = mapped_column(Integer, primary_key=True)
    born_at: Mapped[datetime] = mapped_column(UtcDateTime)
