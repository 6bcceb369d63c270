"""Periodic work: judging overdue windows, deleting rows and reports that are no longer needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, true
from sqlalchemy.orm import Session

from chassis.background import Periodic
from chassis.database import Database
from chassis.outbox import OutboxRow
from contracts import RolloutMeasured
from drift.database import chunks, store
from drift.database.tables import (
    COMPLETE,
    FILLING,
    SCORED,
    FailureRow,
    LabelRow,
    ModelRow,
    ReportRow,
    VersionRow,
    WindowRow,
)
from drift.handlers import Handlers
from drift.rollouts import store as rollouts
from drift.settings import Settings

SETTLED = timedelta(minutes=1)
"""How long rows are kept after their window closed: replicas' clocks differ, and `known_until` compares them."""
UNPROMOTED = timedelta(hours=1)
"""How long a version's promotion, or a rollout's step, may lag behind its first prediction."""
AT_A_TIME = 10
"""Windows whose rows are deleted in one transaction: it blocks ingestion."""


class Housekeeper(Periodic):
    """A Part. Several replicas may run it concurrently; each step does what is left to do."""

    name = "housekeeper"
    waits, failed = "housekeeping waits", "housekeeping failed"

    def __init__(self, database: Database, handlers: Handlers, settings: Settings) -> None:
        super().__init__(timedelta(seconds=settings.sweep_seconds))
        self._database = database
        self._handlers = handlers
        self._settings = settings

    def once(self) -> None:
        self.sweep()

    def sweep(self) -> None:
        """Run one round over every version, one transaction per step."""
        with self._database.reading() as session:
            versions = [(item.model_name, item.model_version) for item in session.scalars(select(VersionRow))]
        for model_name, model_version in versions:
            self._judge_overdue(model_name, model_version)
            while self._prune_some(model_name, model_version):
                pass
            self._forget_old(model_name, model_version)
        self._forget_rollouts()
        with self._database.transaction() as session:
            before = _now() - self._settings.label_retention
            session.execute(delete(LabelRow).where(LabelRow.received_at < before))
            session.execute(delete(FailureRow).where(FailureRow.received_at < before))
            # The newest of them says all, and there may be one a second.
            old = (OutboxRow.topic == RolloutMeasured.topic, OutboxRow.published_at < _now() - SETTLED)
            session.execute(delete(OutboxRow).where(*old))

    def _judge_overdue(self, model_name: str, model_version: int) -> None:
        """Judge windows whose labels are mature, and give up those whose rows must be deleted."""
        with self._database.reading() as session:
            overdue, leaving = self._overdue(session, model_name, model_version)
        if not overdue and not leaving:
            return
        with self._database.transaction() as session:
            model = store.lock_model(session, model_name)
            version = store.version_of(session, model_name, model_version)
            windows, given_up = (
                list(session.scalars(select(WindowRow).where(WindowRow.key.in_(keys)))) for keys in (overdue, leaving)
            )
            if version.epoch is None:
                reason = f"not judged: no promotion of version {model_version} is known"
                store.supersede(windows, reason, _now())
            else:
                mature = self._handlers.maturity(session, model)
                self._handlers.enqueue_due_performance(session, windows, mature)
                self._handlers.give_up_performance(session, given_up, mature)

    def _overdue(self, session: Session, model_name: str, model_version: int) -> tuple[list[int], list[int]]:
        """Return the keys of windows to judge, and of those whose rows must be deleted."""
        version = session.get(VersionRow, (model_name, model_version))
        of_version = _of(model_name, model_version)
        if version is None or version.epoch is None:
            query = select(WindowRow.key).where(
                of_version,
                WindowRow.opened_at < _now() - UNPROMOTED,
                WindowRow.state.in_((FILLING, COMPLETE)),
            )
            return list(session.scalars(query)), []
        waiting = (of_version, WindowRow.state != FILLING, WindowRow.performance_outcome.is_(None))
        waits = list(session.scalars(select(WindowRow.key).where(*waiting)))
        if not waits:
            return [], []
        leaving = set(session.scalars(select(WindowRow.key).where(*waiting, self._beyond(session, version))))
        model = session.get_one(ModelRow, model_name)
        mature = WindowRow.closed_at <= _now() - self._handlers.maturity(session, model).after
        overdue = set(session.scalars(select(WindowRow.key).where(*waiting, mature)))
        return sorted(overdue - leaving), sorted(leaving)

    def _prune_some(self, model_name: str, model_version: int) -> bool:
        """Return True when more windows may be left to prune."""
        with self._database.reading() as session:
            version = session.get(VersionRow, (model_name, model_version))
            keys = self._prunable(session, version) if version else []
        if not keys:
            return False
        with self._database.transaction() as session:
            store.lock_model(session, model_name)
            version = store.version_of(session, model_name, model_version)
            for window in session.scalars(select(WindowRow).where(WindowRow.key.in_(keys), ~WindowRow.pruned)):
                if not chunks.prune(session, version, window):
                    return True
        return len(keys) == AT_A_TIME

    def _prunable(self, session: Session, version: VersionRow) -> list[int]:
        query = select(WindowRow.key).where(
            _of(version.model_name, version.model_version),
            ~WindowRow.pruned,
            WindowRow.state.not_in((FILLING, COMPLETE)),
            WindowRow.performance_outcome.is_not(None),
            WindowRow.closed_at < _now() - SETTLED,
            self._beyond(session, version),
        )
        return list(session.scalars(query.order_by(WindowRow.number).limit(AT_A_TIME)))

    def _forget_rollouts(self) -> None:
        """Delete what told duplicates of ended steps, steps that nobody announced, and old sums."""
        with self._database.reading() as session:
            found = rollouts.forgettable(session, _now() - SETTLED, _now() - UNPROMOTED, self._settings.history_kept)
        for model_name, key in found:
            more = True
            while more:
                with self._database.transaction() as session:
                    store.lock_model(session, model_name)
                    more = rollouts.prune_some(session, key)

    def _forget_old(self, model_name: str, model_version: int) -> None:
        """Delete reports and verdicts beyond retention; keep those of an announced drift, which its event links to."""
        silent = store.is_silent()
        newest_first = select(WindowRow.key).where(_of(model_name, model_version)).order_by(WindowRow.number.desc())
        with self._database.reading() as session:
            with_report = newest_first.where(silent, WindowRow.key.in_(select(ReportRow.window_key)))
            reports = list(session.scalars(with_report.offset(self._settings.reports_kept)))
            windows = list(
                session.scalars(newest_first.where(silent, WindowRow.pruned).offset(self._settings.history_kept))
            )
        if reports or windows:
            with self._database.transaction() as session:
                store.lock_model(session, model_name)
                store.forget(session, reports=reports[:1000], windows=windows[:1000])

    def _beyond(self, session: Session, version: VersionRow) -> ColumnElement[bool]:
        """Select windows whose rows are not kept: a champion's older ones, and all of a version that never was one.

        A former champion's pages are still opened, and its labels come later: its scored windows stay while they are
        among the model's newest.
        """
        model = session.get(ModelRow, version.model_name)
        if model is None or version.epoch is None:
            return true()
        if model.champion_version != version.model_version:
            of_model = select(WindowRow.key).where(WindowRow.model_name == version.model_name)
            newest = session.scalar(
                of_model.order_by(WindowRow.key.desc()).offset(self._settings.windows_kept + 1).limit(1)
            )
            return (WindowRow.state != SCORED) | (WindowRow.key <= (newest or 0))
        return WindowRow.number < version.next_number - 1 - self._settings.windows_kept


def _of(model_name: str, model_version: int) -> ColumnElement[bool]:
    return (WindowRow.model_name == model_name) & (WindowRow.model_version == model_version)


def _now() -> datetime:
    return datetime.now(UTC)
