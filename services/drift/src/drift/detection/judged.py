"""What the jobs on a window share: reading it, and recording a verdict on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from chassis.jobs import Job
from drift.database import store
from drift.database.tables import VersionRow, WindowRow

Record = Callable[[Session], None]


def window_of(session: Session, job: Job) -> tuple[WindowRow | None, VersionRow | None]:
    """Return the window of the job and its version; None when they were deleted meanwhile."""
    window = store.window_by_id(session, job.payload["window"])
    if window is None:
        return None, None
    return window, session.get(VersionRow, (window.model_name, window.model_version))


def locked(session: Session, window_id: str) -> WindowRow | None:
    """Lock the model, then read the window, so that other transactions' changes are visible."""
    window = store.window_by_id(session, window_id)
    if window is None:
        return None
    store.lock_model(session, window.model_name)
    session.refresh(window)
    return window


def nothing(_session: Session) -> None:
    """Record nothing: the window was judged, superseded or deleted meanwhile."""


def now() -> datetime:
    return datetime.now(UTC)
