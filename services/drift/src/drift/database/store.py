"""Queries and updates of models, versions, windows and reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from contracts import Outcome
from drift.database.tables import (
    COMPLETE,
    FILLING,
    SUPERSEDED,
    LimitsRow,
    ModelRow,
    ReportRow,
    VersionRow,
    WindowRow,
)

CHUNK = 1000
"""Most values of one IN (…)."""


def chunks(values: list[Any]) -> list[list[Any]]:
    """Return the values in lists that one IN (…) takes."""
    return [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]


def insert_into(session: Session, table: Any) -> Any:
    """Return the database dialect's INSERT with ON CONFLICT."""
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(table)


def lock_model(session: Session, model_name: str) -> ModelRow:
    """Lock and return the model's row, created if missing; other transactions wait until this one ends."""
    query = select(ModelRow).where(ModelRow.model_name == model_name).with_for_update()
    found = session.scalars(query).first()
    if found is None:
        session.execute(insert_into(session, ModelRow).values(model_name=model_name).on_conflict_do_nothing())
        found = session.scalars(query).one()
    return found


def version_of(session: Session, model_name: str, model_version: int) -> VersionRow:
    """Return the version's row, created if missing; call with the model locked."""
    found = session.get(VersionRow, (model_name, model_version))
    if found is None:
        found = VersionRow(
            model_name=model_name, model_version=model_version, baseline={}, predicted=0, failed=0, next_number=1
        )
        session.add(found)
        session.flush()
    return found


def open_window(session: Session, version: VersionRow) -> WindowRow | None:
    """Return the window that is being filled."""
    return next(iter(in_state(session, version, FILLING)), None)


def new_window(session: Session, version: VersionRow, size: int, now: datetime) -> WindowRow:
    window = WindowRow(
        id=f"{version.model_name}-v{version.model_version}-w{version.next_number}",
        model_name=version.model_name,
        model_version=version.model_version,
        number=version.next_number,
        size=size,
        rows=0,
        labelled=0,
        state=FILLING,
        opened_at=now,
        pruned=False,
        scores=[],
        not_compared={},
    )
    version.next_number += 1
    session.add(window)
    session.flush()
    return window


def window_by_id(session: Session, window_id: str) -> WindowRow | None:
    return session.scalars(select(WindowRow).where(WindowRow.id == window_id)).first()


def newest_windows(session: Session, model_name: str, model_version: int | None, limit: int) -> list[WindowRow]:
    query = select(WindowRow).where(WindowRow.model_name == model_name).order_by(WindowRow.key.desc()).limit(limit)
    if model_version is not None:
        query = query.where(WindowRow.model_version == model_version)
    return list(session.scalars(query))


def newest_outcomes(session: Session, window: WindowRow, most: int) -> tuple[Outcome, ...]:
    """Return the verdicts on the data of the version's windows up to this one, oldest first, without undecided ones."""
    decided = WindowRow.data_outcome.in_((Outcome.PASSED, Outcome.FAILED))
    query = select(WindowRow.data_outcome).where(
        WindowRow.model_name == window.model_name,
        WindowRow.model_version == window.model_version,
        WindowRow.number <= window.number,
        decided,
    )
    newest = session.scalars(query.order_by(WindowRow.number.desc()).limit(most)).all()
    return tuple(Outcome(outcome) for outcome in reversed(newest) if outcome is not None)


def limits_kept(session: Session, model_name: str, model_version: int | None) -> Sequence[LimitsRow]:
    """Return the limits of a model's versions, newest first."""
    query = select(LimitsRow).where(LimitsRow.model_name == model_name)
    if model_version is not None:
        query = query.where(LimitsRow.model_version == model_version)
    return session.scalars(query.order_by(LimitsRow.calibrated_at.desc())).all()


def in_state(session: Session, version: VersionRow, state: str) -> list[WindowRow]:
    """Return the version's windows in `state`, oldest first."""
    query = select(WindowRow).where(
        WindowRow.model_name == version.model_name,
        WindowRow.model_version == version.model_version,
        WindowRow.state == state,
    )
    return list(session.scalars(query.order_by(WindowRow.number)))


def undecided(session: Session, version: VersionRow) -> list[WindowRow]:
    """Return the version's windows that still wait for rows, their score or their performance."""
    query = select(WindowRow).where(
        WindowRow.model_name == version.model_name,
        WindowRow.model_version == version.model_version,
        WindowRow.state.in_((FILLING, COMPLETE)) | WindowRow.performance_outcome.is_(None),
    )
    return list(session.scalars(query))


def supersede(windows: Iterable[WindowRow], reason: str, now: datetime) -> None:
    """Close windows that will not be judged any more; existing verdicts stay."""
    for window in windows:
        if window.state in (FILLING, COMPLETE):
            window.state, window.closed_at = SUPERSEDED, window.closed_at or now
        if window.data_outcome is None:
            window.data_outcome, window.data_reason = Outcome.INCONCLUSIVE, reason
        if window.performance_outcome is None:
            window.performance_outcome, window.performance_reason = Outcome.INCONCLUSIVE, reason


def forget(session: Session, *, reports: Sequence[int] = (), windows: Sequence[int] = ()) -> None:
    """Delete reports, and windows (whose rows are gone) with their reports, by key."""
    session.execute(delete(ReportRow).where(ReportRow.window_key.in_([*reports, *windows])))
    session.execute(delete(WindowRow).where(WindowRow.key.in_(windows)))


def is_silent() -> ColumnElement[bool]:
    """Select windows that no event links to: the opposite of `WindowRow.is_announced`."""
    signals = (WindowRow.prediction["event_id"].as_string(), WindowRow.proxy["event_id"].as_string())
    events = (WindowRow.data_event_id, WindowRow.performance_event_id, *signals)
    return and_(*(event.is_(None) for event in events))


def newest_judged(session: Session, model_name: str, model_version: int | None) -> WindowRow | None:
    """Return the last window with a verdict on features or performance; of the version, if one is given."""
    judged = WindowRow.data_outcome.is_not(None) | WindowRow.performance_outcome.is_not(None)
    query = select(WindowRow).where(WindowRow.model_name == model_name, judged).order_by(WindowRow.key.desc())
    if model_version is not None:
        query = query.where(WindowRow.model_version == model_version)
    return session.scalars(query.limit(1)).first()


def newest_performance(session: Session, version: VersionRow) -> WindowRow | None:
    """Return the version's last window with a verdict on its performance."""
    query = select(WindowRow).where(
        WindowRow.model_name == version.model_name,
        WindowRow.model_version == version.model_version,
        WindowRow.performance_outcome.is_not(None),
    )
    return session.scalars(query.order_by(WindowRow.number.desc()).limit(1)).first()
