"""Drawings of windows: which is kept, which is wanted, why there is none; and the job that makes one."""

from __future__ import annotations

from sqlalchemy.orm import Session

from chassis.job_worker import JobRun, Record
from chassis.jobs import UNFINISHED, Job, Jobs
from chassis.telemetry import get_logger
from drift import metrics
from drift.database import store
from drift.database.records import clean
from drift.database.tables import COMPLETE, FILLING, SCORED, ReportRow, WindowRow
from drift.policies import DriftPolicies
from drift.reports.drawer import Drawer, DrawingFailed
from drift.reports.page import Drawing, Look
from drift.reports.store import report_of, save_report

DRAW = "draw"

log = get_logger(__name__)


class Drawings:
    """A window is drawn when somebody opens its page, or when its drift is announced."""

    def __init__(self, jobs: Jobs, policies: DriftPolicies, drawer: Drawer, windows_kept: int) -> None:
        self._jobs = jobs
        self._policies = policies
        self._drawer = drawer
        self._windows_kept = windows_kept

    def look(self, session: Session, window: WindowRow) -> Look:
        found = report_of(session, window)
        reason = self._none(window)
        if found is not None:
            return Look(found, found.note, again=found.page is None and reason is None)
        if reason is not None:
            return Look(None, reason)
        job = self._jobs.get(session, _job_id(window))
        if job is None or job.state not in UNFINISHED:
            return Look(None, "It is being drawn; this page then shows it.", waits=True, wanted=True)
        waits = f" It waits: {job.message}." if job.message else ""
        return Look(None, f"It is being drawn; this page then shows it.{waits}", waits=True)

    def want(self, session: Session, window: WindowRow, *, again: bool = False) -> None:
        """Have the window drawn, unless that is impossible or on its way. `again`: forget a failed attempt."""
        if self._none(window) is not None:
            return
        found = session.get(ReportRow, window.key)
        if found is not None:
            if not again or found.page is not None:
                return
            session.delete(found)
        job = self._jobs.get(session, _job_id(window))
        if job is not None and job.state in UNFINISHED:
            return
        if job is not None:
            self._jobs.forget(session, job.id)
        self._jobs.enqueue(session, kind=DRAW, key=window.id, payload={"window": window.id}, job_id=_job_id(window))

    def want_announced(self, session: Session, window: WindowRow) -> None:
        """Have the window drawn whose drift was announced: the event links to its page."""
        if window.is_announced:
            self.want(session, window)

    def run(self, run: JobRun) -> Record:
        """Draw; a drawing that fails is a note on the page, and costs nothing else."""
        with self._jobs.database.reading() as session:
            window = store.window_by_id(session, run.job.payload["window"])
            if window is None or self._none(window) is not None:
                return lambda session: None
            share = self._policies.drift(window.model_name).drift_share
            entity = self._policies.entity(window.model_name)
        try:
            with metrics.REPORT_SECONDS.time():
                drawing = self._drawer.draw(window.id, share, entity, run.cancelled)
        except DrawingFailed as error:
            log.warning("window not drawn", window=window.id, error=str(error))
            drawing = _failed(str(error))
        return lambda session: _save(session, window.id, drawing)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        _save(session, job.payload["window"], _failed(error))

    def _none(self, window: WindowRow) -> str | None:
        """Return why the window cannot be drawn; None when it can."""
        if window.state in (FILLING, COMPLETE):
            return "Not drawn: its features are not judged yet."
        if window.state != SCORED or not window.scores:
            return "Not drawn: no feature was compared."
        if window.pruned:
            return (
                "Not drawn: its rows are no longer kept, and its page was not opened while they were. Rows are kept"
                f" of the newest {self._windows_kept} judged windows of a model (DRIFT_WINDOWS_KEPT). The verdicts and"
                " scores on this page are of all of its rows."
            )
        return None


def _job_id(window: WindowRow) -> str:
    return f"{DRAW}:{window.key}"


def _failed(error: str) -> Drawing:
    return Drawing(None, f"Not drawn: {clean(error)}.")


def _save(session: Session, window_id: str, drawing: Drawing) -> None:
    window = store.window_by_id(session, window_id)
    if window is None:
        return
    store.lock_model(session, window.model_name)  # so that housekeeping does not delete the window meanwhile
    if store.window_by_id(session, window_id) is not None:
        save_report(session, window, drawing)
