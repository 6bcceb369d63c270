"""What earlier windows of a version say on estimates without labels: their distances, errors and announcements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts import DriftKind, Outcome
from drift.database.tables import VersionRow, WindowRow

NEWEST = 200
"""Windows that are looked at."""
FIRST = 3
"""First windows of a version, with which later ones are compared that has no golden predictions."""

COLUMNS = {DriftKind.PREDICTION: WindowRow.prediction, DriftKind.PROXY: WindowRow.proxy}


def distances(session: Session, window: WindowRow) -> list[float]:
    """Return the distances of the predictions of earlier windows of this size, oldest first."""
    rows = _earlier(session, window, WindowRow.prediction).where(WindowRow.size == window.size).limit(NEWEST)
    found = [said.get("distance") for said in session.scalars(rows) if said]
    return [distance for distance in found if distance is not None]


def first_predictions(session: Session, window: WindowRow) -> list[dict[str, Any]]:
    """Return what was kept of the predictions of the version's first windows; empty for one of these windows."""
    rows = _earlier(session, window, WindowRow.prediction, WindowRow.number).limit(FIRST)
    found = [row.prediction for row in session.execute(rows) if row.prediction and row.prediction.get("kept")]
    return [each["kept"] for each in found] if window.number > FIRST else []


def errors(session: Session, window: WindowRow, metric: str) -> list[float]:
    """Return by how much earlier estimates were wrong (observed − estimated), of windows with labels, oldest first."""
    of_window = WindowRow.proxy, WindowRow.observed, WindowRow.metric, WindowRow.performance_outcome
    rows = session.execute(_earlier(session, window, *of_window, newest=True).limit(NEWEST)).all()
    judged = (Outcome.PASSED, Outcome.FAILED)
    found = [
        row.observed - row.proxy["raw"]
        for row in rows
        if row.proxy and row.observed is not None and row.metric == metric and row.performance_outcome in judged
        if row.proxy.get("metric") == metric and row.proxy.get("raw") is not None
    ]
    return found[::-1]


def last_announced(
    session: Session, version: VersionRow, kind: DriftKind, cooldown: timedelta, now: datetime
) -> datetime | None:
    """Return when drift of this kind was announced last within the cooldown, since the version was promoted last."""
    since = now - cooldown
    if version.promoted_at is not None:
        since = max(since, version.promoted_at)
    return max(_announced(session, version, kind, since), default=None)


def _announced(session: Session, version: VersionRow, kind: DriftKind, since: datetime) -> Iterator[datetime]:
    query = select(COLUMNS[kind]).where(
        WindowRow.model_name == version.model_name,
        WindowRow.model_version == version.model_version,
        WindowRow.scored_at >= since,
    )
    for said in session.scalars(query):
        if said and said.get("announced_at"):
            yield datetime.fromisoformat(said["announced_at"])


def _earlier(session: Session, window: WindowRow, *columns: Any, newest: bool = False) -> Any:
    order = WindowRow.number.desc() if newest else WindowRow.number
    return (
        select(*columns)
        .where(
            WindowRow.model_name == window.model_name,
            WindowRow.model_version == window.model_version,
            WindowRow.number < window.number,
        )
        .order_by(order)
    )
