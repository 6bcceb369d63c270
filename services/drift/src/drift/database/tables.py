"""The tables: versions that were promoted, windows, their rows as columns, where each row is, and the labels.

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
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime, UtcMicroseconds
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
    label_delays: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """How long labels took (drift.policy.maturity.Delays); None: no label has come."""


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
    performance: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """State of the sequential tests over its windows (drift.policy.sequential)."""
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
    performance: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """What the verdict rests on: labels that counted, and each metric with its test."""
    performance_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_announced(self) -> bool:
        """Whether an event of any kind links to the window's page."""
        signals = (self.prediction or {}, self.proxy or {})
        events = (self.data_event_id, self.performance_event_id, *(each.get("event_id") for each in signals))
        return any(event is not None for event in events)


class ChunkRow(Base):
    """Rows of a window that follow one another, as columns; `first` is the seat of the first of them, from 0.

    What they hold is read by `drift.database.columns`; `kinds` says how each column is typed.
    """

    __tablename__ = "drift_chunks"

    window_key: Mapped[int] = mapped_column(BigId, ForeignKey("drift_windows.key"), primary_key=True)
    first: Mapped[int] = mapped_column(Integer, primary_key=True)
    rows: Mapped[int] = mapped_column(Integer)
    made_from: Mapped[datetime] = mapped_column(UtcMicroseconds)
    made_until: Mapped[datetime] = mapped_column(UtcMicroseconds)
    """When the first and the last of them were predicted."""
    kinds: Mapped[dict[str, str]] = mapped_column(Json)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class PlaceRow(Base):
    """Where a predicted row is: it tells a duplicate, and where a label belongs. Narrow: there is one a row.

    `key` is the hash of model, request and row, `unit` that of model and entity (`drift.database.records`).
    """

    __tablename__ = "drift_places"

    key: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    window_key: Mapped[int] = mapped_column(BigId)
    seat: Mapped[int] = mapped_column(Integer)
    unit: Mapped[int | None] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(UtcMicroseconds)
    event_time: Mapped[datetime | None] = mapped_column(UtcMicroseconds)
    labelled: Mapped[int] = mapped_column(SmallInteger)


Index(
    "ix_drift_places_unit",
    PlaceRow.unit,
    sqlite_where=PlaceRow.unit.is_not(None) & (PlaceRow.labelled == 0),
    postgresql_where=PlaceRow.unit.is_not(None) & (PlaceRow.labelled == 0),
)


class GivenRow(Base):
    """The label of a row of a window, as JSON; the first one stays."""

    __tablename__ = "drift_given_labels"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  # as SQLAlchemy wants it

    window_key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    seat: Mapped[int] = mapped_column(Integer, primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    labelled_at: Mapped[datetime | None] = mapped_column(UtcMicroseconds)
    """When the label was sent."""


class LabelRow(Base):
    """A label as it arrived; it may arrive before its prediction, and twice. One of request and entity is set.

    `key` is that of the row, or the hash of the event for a label by entity.
    """

    __tablename__ = "drift_ground_truth"
    __table_args__ = (Index("ix_drift_ground_truth_received_at", "received_at"),)

    key: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    unit: Mapped[int | None] = mapped_column(BigInteger)
    event_time: Mapped[datetime | None] = mapped_column(UtcMicroseconds)
    label: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(UtcMicroseconds)
    received_at: Mapped[datetime] = mapped_column(UtcMicroseconds)


Index(
    "ix_drift_ground_truth_unit",
    LabelRow.unit,
    sqlite_where=LabelRow.unit.is_not(None),
    postgresql_where=LabelRow.unit.is_not(None),
)


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


class PastWindowRow(Base):
    """A judged window as sketches of its columns, from which limits are calibrated; kept when its version is not."""

    __tablename__ = "drift_past_windows"
    __table_args__ = (Index("ix_drift_past_windows_model", "model_name", "rows"),)

    window_key: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    model_name: Mapped[str] = mapped_column(String(200))
    rows: Mapped[int] = mapped_column(Integer)
    start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sketches: Mapped[bytes] = mapped_column(LargeBinary)


class LimitsRow(Base):
    """The limits of a version for windows of one size, and on what they were calibrated."""

    __tablename__ = "drift_limits"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    model_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    rows: Mapped[int] = mapped_column(Integer, primary_key=True)
    calibrated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    limits: Mapped[dict[str, Any]] = mapped_column(Json)


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
