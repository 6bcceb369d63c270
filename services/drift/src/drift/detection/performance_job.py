"""The job `performance`: the labelled rows of a window against the baseline of its version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun
from chassis.jobs import Job
from contracts import DriftKind, Outcome, OutputFormat
from contracts.metrics import METRICS
from drift.database import window_rows
from drift.database.records import clean
from drift.database.tables import FILLING, VersionRow
from drift.detection.emitter import DriftEmitter
from drift.detection.judged import Record, locked, nothing, now, window_of
from drift.policies import DriftPolicies
from drift.policy.maturity import no_label
from drift.policy.performance import Labelled, judge_performance
from drift.policy.windows import Verdict
from drift.scoring.performance import measure


class PerformanceJob:
    """A window that was judged, superseded or deleted meanwhile stays unchanged."""

    def __init__(self, database: Database, policies: DriftPolicies, emitter: DriftEmitter) -> None:
        self._database = database
        self._policies = policies
        self._emitter = emitter

    def run(self, run: JobRun) -> Record:
        with self._database.reading() as session:
            window, version = window_of(session, run.job)
            if window is None or version is None or window.state == FILLING or window.performance_outcome is not None:
                return nothing
            labelled = window_rows.labelled(session, window)
        if (unjudged := _not_judged(run.job.payload, len(labelled))) is not None:
            return lambda session: self._record(session, window.id, unjudged, None, len(labelled))
        metric = self._policies.metric(window.model_name, version.metric)
        drop = self._policies.drift(window.model_name).metric_drop
        output = self._policies.output(window.model_name, _output(version))
        found = (
            measure(metric, window.rows, labelled, output, version.baseline)
            if metric is not None and metric in METRICS
            else Labelled(window.rows, len(labelled), None, None)
        )
        verdict = judge_performance(found, metric, version.baseline.get(metric or ""), drop)
        return lambda session: self._record(session, window.id, verdict, metric, len(labelled))

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Record a permanent failure as the window's verdict."""
        window = locked(session, job.payload["window"])
        if window is not None and window.performance_outcome is None:
            window.performance_outcome, window.performance_reason = Outcome.INCONCLUSIVE, clean(error)
            window.performance_at = now()

    def _record(self, session: Session, window_id: str, verdict: Verdict, metric: str | None, labelled: int) -> None:
        window = locked(session, window_id)
        if window is None or window.performance_outcome is not None:
            return
        window.performance_outcome, window.performance_reason = verdict.outcome, verdict.reason
        window.metric, window.observed, window.bound = metric, verdict.observed, verdict.bound
        window.performance, window.performance_at = {"labelled": labelled}, now()
        self._emitter.performance(session, window, verdict, metric)


def _not_judged(payload: Mapping[str, Any], labelled: int) -> Verdict | None:
    """Return the verdict on a window that has no label, or must be given up before its labels are mature."""
    if immature := payload.get("immature"):
        reason = (
            f"not judged: its rows must be deleted before their labels are mature ({immature}); raise"
            " DRIFT_WINDOWS_KEPT, or state label_maturity in the policy"
        )
    elif (after := payload.get("maturity_seconds")) is not None and not labelled:
        reason = no_label(timedelta(seconds=after))
    else:
        return None
    return Verdict(DriftKind.PERFORMANCE, Outcome.INCONCLUSIVE, reason, labelled)


def _output(version: VersionRow) -> OutputFormat | None:
    return OutputFormat.model_validate(version.output) if version.output else None
