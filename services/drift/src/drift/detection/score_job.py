"""The job `score`: a window against the reference of its version."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun
from chassis.jobs import Job
from contracts import Dataset, DriftKind, Outcome
from contracts.drift_settings import FORMER_SHARE
from drift import metrics
from drift.database import window_rows
from drift.database.records import clean
from drift.database.tables import COMPLETE, FAILED, REFUSED, SCORED, VersionRow, WindowRow
from drift.detection.emitter import DriftEmitter
from drift.detection.estimates import NOTHING_ESTIMATED, Estimates, Estimator
from drift.detection.judged import Record, locked, nothing, now, window_of
from drift.policies import DriftPolicies
from drift.policy.windows import Verdict, judge_data, refusal
from drift.reports import evidently_report as report
from drift.reports.page import Drawing
from drift.reports.store import save_report
from drift.scoring.references import References
from drift.scoring.scores import Comparison, compare
from drift.settings import Settings


@dataclass(frozen=True)
class Scored:
    """Result of scoring a window."""

    state: str
    verdict: Verdict
    comparison: Comparison | None = None
    drawing: Drawing | None = None
    estimates: Estimates = NOTHING_ESTIMATED


class ScoreJob:
    """A window that was judged, superseded or deleted meanwhile stays unchanged."""

    def __init__(
        self,
        database: Database,
        references: References,
        policies: DriftPolicies,
        emitter: DriftEmitter,
        settings: Settings,
    ) -> None:
        self._database = database
        self._references = references
        self._policies = policies
        self._emitter = emitter
        self._settings = settings
        self._estimator = Estimator(references, policies)

    def run(self, run: JobRun) -> Record:
        with self._database.reading() as session:
            window, version = window_of(session, run.job)
            if window is None or version is None or window.state != COMPLETE:
                return nothing
            scored = self._score(session, window, version)
        return lambda session: self._record(session, window.id, scored)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Record a permanent failure as the window's verdict."""
        window = locked(session, job.payload["window"])
        if window is not None and window.state == COMPLETE:
            window.state, window.data_outcome, window.data_reason = FAILED, Outcome.INCONCLUSIVE, clean(error)
            window.scored_at = now()

    def _score(self, session: Session, window: WindowRow, version: VersionRow) -> Scored:
        policy, entity = self._policies.drift(window.model_name), self._policies.entity(window.model_name)
        share = FORMER_SHARE if policy.drift_share is None else policy.drift_share
        if refusal(window.rows) is not None:
            return Scored(REFUSED, judge_data(window.rows, (), share))
        if version.reference is None:
            reason = f"the promotion of version {version.model_version} names no reference rows: nothing to compare"
            return Scored(REFUSED, Verdict(DriftKind.DATA, Outcome.INCONCLUSIVE, reason, window.rows))
        is_last = _waiting(session, window) <= 1
        reference = self._references.frame(Dataset.model_validate(version.reference))
        current = window_rows.features(session, window, [name for name in reference.columns if name != entity])
        inputs = self._estimator.inputs(session, window, version)
        session.rollback()  # what follows takes seconds, and needs no connection
        started = time.monotonic()
        comparison = compare(reference, current)
        verdict = judge_data(window.rows, comparison.scores, share, comparison.nothing)
        metrics.SCORE_SECONDS.observe(time.monotonic() - started)
        estimates = self._estimator.estimate(inputs, window, version, verdict, comparison.scores, current)
        if verdict.outcome is Outcome.PASSED and not is_last:
            # A report takes a hundred times as long as a verdict: while windows wait, render reports of drift only.
            return Scored(SCORED, verdict, comparison, None, estimates)
        with metrics.REPORT_SECONDS.time():
            drawing = report.render(comparison, drift_share=share, most_rows=self._settings.report_rows)
        return Scored(SCORED, verdict, comparison, drawing, estimates)

    def _record(self, session: Session, window_id: str, scored: Scored) -> None:
        window = locked(session, window_id)
        if window is None or window.state != COMPLETE:
            return
        verdict, comparison = scored.verdict, scored.comparison
        window.state, window.scored_at = scored.state, now()
        window.data_outcome, window.data_reason = verdict.outcome, verdict.reason
        window.drift_share, window.drift_share_limit = verdict.observed, verdict.bound
        if comparison is not None:
            window.scores = [score.model_dump(mode="json") for score in comparison.scores]
            window.not_compared = dict(comparison.not_compared)
        if scored.drawing is not None:
            save_report(session, window, scored.drawing)
        scored.estimates.record(session, window, self._emitter)
        self._emitter.data(session, window, verdict, comparison.scores if comparison else ())


def _waiting(session: Session, window: WindowRow) -> int:
    """Count the model's windows that wait to be scored, this one included."""
    waiting = select(func.count()).where(WindowRow.model_name == window.model_name, WindowRow.state == COMPLETE)
    return session.scalar(waiting) or 0
