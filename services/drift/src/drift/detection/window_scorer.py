"""The two jobs: score a window against the reference, and judge its performance against the baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun
from chassis.jobs import Job
from chassis.telemetry import get_logger
from contracts import Dataset, DriftKind, Outcome, OutputFormat
from contracts.metrics import METRICS
from drift import metrics
from drift.database import store
from drift.database.records import clean, loads
from drift.database.tables import COMPLETE, FAILED, FILLING, REFUSED, SCORED, PredictionRow, VersionRow, WindowRow
from drift.detection.emitter import DriftEmitter
from drift.policies import DriftPolicies
from drift.policy.windows import Labelled, Verdict, judge_data, judge_performance, refusal
from drift.reports import evidently_report as report
from drift.reports.page import Drawing
from drift.reports.store import save_report
from drift.scoring.performance import Answered, measure
from drift.scoring.references import References
from drift.scoring.scores import Comparison, compare
from drift.settings import Settings

MOST_OTHERS = 50

Record = Callable[[Session], None]

log = get_logger(__name__)


@dataclass(frozen=True)
class Scored:
    """Result of scoring a window."""

    state: str
    verdict: Verdict
    comparison: Comparison | None = None
    drawing: Drawing | None = None


class WindowScorer:
    """Runs the jobs. A window that was judged, superseded or deleted meanwhile stays unchanged."""

    def __init__(
        self,
        database: Database,
        references: References,
        policies: DriftPolicies,
        announcer: DriftEmitter,
        settings: Settings,
    ) -> None:
        self._database = database
        self._references = references
        self._policies = policies
        self._announcer = announcer
        self._settings = settings

    def score(self, run: JobRun) -> Record:
        with self._database.reading() as session:
            window, version = self._window(session, run.job)
            if window is None or version is None or window.state != COMPLETE:
                return _nothing
            rows = _features(session, window)
            is_last = _waiting(session, window) <= 1
        scored = self._score(window, version, rows, is_last=is_last)
        return lambda session: self._record_score(session, window.id, scored)

    def performance(self, run: JobRun) -> Record:
        with self._database.reading() as session:
            window, version = self._window(session, run.job)
            if window is None or version is None or window.state == FILLING or window.performance_outcome is not None:
                return _nothing
            answered = _answered(session, window)
        metric = self._policies.metric(window.model_name, version.metric)
        drop = self._policies.drift(window.model_name).metric_drop
        found = (
            measure(
                metric,
                window.rows,
                answered,
                self._policies.output(window.model_name, _output(version)),
                version.baseline,
            )
            if metric is not None and metric in METRICS
            else Labelled(window.rows, len(answered), None, None)
        )
        verdict = judge_performance(found, metric, version.baseline.get(metric or ""), drop)
        return lambda session: self._record_performance(session, window.id, verdict, metric)

    def on_score_failed(self, session: Session, job: Job, error: str) -> None:
        """Record a permanent scoring failure as the window's verdict."""
        window = self._locked(session, job.payload["window"])
        if window is not None and window.state == COMPLETE:
            window.state, window.data_outcome, window.data_reason = FAILED, Outcome.INCONCLUSIVE, clean(error)
            window.scored_at = _now()

    def on_performance_failed(self, session: Session, job: Job, error: str) -> None:
        window = self._locked(session, job.payload["window"])
        if window is not None and window.performance_outcome is None:
            window.performance_outcome, window.performance_reason = Outcome.INCONCLUSIVE, clean(error)
            window.performance_at = _now()

    def _score(self, window: WindowRow, version: VersionRow, rows: list[str], *, is_last: bool) -> Scored:
        policy, entity = self._policies.drift(window.model_name), self._policies.entity(window.model_name)
        if refusal(len(rows)) is not None:
            return Scored(REFUSED, judge_data(len(rows), (), policy.drift_share))
        if version.reference is None:
            reason = f"the promotion of version {version.model_version} names no reference rows: nothing to compare"
            return Scored(REFUSED, Verdict(DriftKind.DATA, Outcome.INCONCLUSIVE, reason, len(rows)))
        reference = self._references.frame(Dataset.model_validate(version.reference))
        started = time.monotonic()
        comparison = compare(reference, _frame(rows, [name for name in reference.columns if name != entity]))
        verdict = judge_data(len(rows), comparison.scores, policy.drift_share, comparison.nothing)
        metrics.SCORE_SECONDS.observe(time.monotonic() - started)
        if verdict.outcome is Outcome.PASSED and not is_last:
            # A report takes a hundred times as long as a verdict: while windows wait, render reports of drift only.
            return Scored(SCORED, verdict, comparison)
        with metrics.REPORT_SECONDS.time():
            drawing = report.render(comparison, drift_share=policy.drift_share, most_rows=self._settings.report_rows)
        return Scored(SCORED, verdict, comparison, drawing)

    def _record_score(self, session: Session, window_id: str, scored: Scored) -> None:
        window = self._locked(session, window_id)
        if window is None or window.state != COMPLETE:
            return
        verdict, comparison = scored.verdict, scored.comparison
        window.state, window.scored_at = scored.state, _now()
        window.data_outcome, window.data_reason = verdict.outcome, verdict.reason
        window.drift_share, window.drift_share_limit = verdict.observed, verdict.bound
        if comparison is not None:
            window.scores = [score.model_dump(mode="json") for score in comparison.scores]
            window.not_compared = dict(comparison.not_compared)
        if scored.drawing is not None:
            save_report(session, window, scored.drawing)
        self._announcer.data(session, window, verdict, comparison.scores if comparison else ())

    def _record_performance(self, session: Session, window_id: str, verdict: Verdict, metric: str | None) -> None:
        window = self._locked(session, window_id)
        if window is None or window.performance_outcome is not None:
            return
        window.performance_outcome, window.performance_reason = verdict.outcome, verdict.reason
        window.metric, window.observed, window.bound = metric, verdict.observed, verdict.bound
        window.performance_at = _now()
        self._announcer.performance(session, window, verdict, metric)

    def _window(self, session: Session, job: Job) -> tuple[WindowRow | None, VersionRow | None]:
        window = store.window_by_id(session, job.payload["window"])
        if window is None:
            return None, None
        return window, session.get(VersionRow, (window.model_name, window.model_version))

    def _locked(self, session: Session, window_id: str) -> WindowRow | None:
        """Lock the model, then read the window, so that other transactions' changes are visible."""
        window = store.window_by_id(session, window_id)
        if window is None:
            return None
        store.lock_model(session, window.model_name)
        session.refresh(window)
        return window


def _features(session: Session, window: WindowRow) -> list[str]:
    query = select(PredictionRow.features).where(PredictionRow.window_key == window.key).order_by(PredictionRow.seq)
    return list(session.scalars(query))


def _frame(rows: list[str], features: list[str]) -> pd.DataFrame:
    """Return the features that any row has, and empty columns for some other names: a request may have thousands.

    Values stay as they are: pandas would make floats of integers, and refuse those that are too large.
    """
    parsed = [loads(row) for row in rows]
    seen = set().union(*parsed)
    others = sorted(clean(name) for name in seen.difference(features))[:MOST_OTHERS]
    columns = {name: [row.get(name) for row in parsed] for name in features if name in seen}
    return pd.DataFrame(columns | dict.fromkeys(others), index=range(len(parsed)), dtype=object)


def _answered(session: Session, window: WindowRow) -> list[Answered]:
    columns = ("score", "answer", "label", "event_time", "entity_id")
    query = select(*(getattr(PredictionRow, name) for name in columns)).where(
        PredictionRow.window_key == window.key, PredictionRow.label.is_not(None)
    )
    found: list[Any] = list(session.execute(query.order_by(PredictionRow.seq)))
    return [Answered(row.score, loads(row.answer), loads(row.label), row.event_time, row.entity_id) for row in found]


def _output(version: VersionRow) -> OutputFormat | None:
    return OutputFormat.model_validate(version.output) if version.output else None


def _waiting(session: Session, window: WindowRow) -> int:
    """Count the model's windows that wait to be scored, this one included."""
    waiting = select(func.count()).where(WindowRow.model_name == window.model_name, WindowRow.state == COMPLETE)
    return session.scalar(waiting) or 0


def _nothing(_session: Session) -> None:
    return None


def _now() -> datetime:
    return datetime.now(UTC)
