"""The table of benchmarks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import Json, UtcDateTime
from chassis.database import Base

DUE, COMPLETED = "due", "completed"


class BenchmarkRow(Base):
    """A benchmark. `state`: due, completed; the figures are there once it is completed."""

    __tablename__ = "benchmarks"

    id: Mapped[str] = mapped_column(String(250), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200), index=True)
    state: Mapped[str] = mapped_column(String(20))
    due: Mapped[dict[str, Any]] = mapped_column(Json)
    """BenchmarkDue."""
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    outcome: Mapped[str | None] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    champion_version: Mapped[int | None] = mapped_column(Integer)
    """The champion that was compared: it may be another one than when the rows were stored."""
    winner: Mapped[int | None] = mapped_column(Integer)
    results: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """As benchmark_results.json has them."""
    completed: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """BenchmarkCompleted."""
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
