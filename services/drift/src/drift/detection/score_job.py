"""The job `score`: a window against the reference of its version."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pandas as pd
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun
from chassis.jobs import Job
from contracts import DriftKind, Outcome
from contracts.drift_settings import Drift
from drift import metrics
from drift.database import window_rows
from drift.database.records import clean
from drift.database.tables import COMPLETE, FAILED, REFUSED, SCORED, VersionRow, WindowRow
from drift.detection import calibrating
from drift.detection.emitter import DriftEmitter
from drift.detection.estimates import NOTHING_ESTIMATED, Estimates, Estimator
from drift.detection.judged import Record, locked, nothing, now, window_of
from drift.policies import DriftPolicies
from drift.policy.windows import Verdict, judge_data, judge_limits, refusal
from drift.reports.drawings import Drawings
from drift.scoring.basis import basis_of, unwatched
from drift.scoring.calibration import Calibration
from drift.scoring.references import References
from drift.scoring.scores import Comparison, Reference, compare


@dataclass(frozen=True)
class Scored:
    """Result of scoring a window."""

    state: str
    verdict: Verdict
    comparison: Comparison | None = None
    calibration: Calibration | None = None
    estimates: Estimates = NOTHING_ESTIMATED


class ScoreJob:
    """A window that was judged, superseded or deleted meanwhile stays unchanged."""

    def __init__(
        self,
        database: Database,
        references: References,
        policies: DriftPolicies,
        emitter: DriftEmitter,
        drawings: Drawings,
    ) -> None:
        self._database = database
        self._references = references
        self._policies = policies
        self._emitter = emitter
        self._estimator = Estimator(references, policies)
        self._drawings = drawings

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
        rules = self._policies.drift(window.model_name)
        if (refused := refusal(window.rows)) is not None:
            return Scored(REFUSED, Verdict(DriftKind.DATA, Outcome.INCONCLUSIVE, refused, window.rows))
        basis = basis_of(version)
        if basis is None:
            reason = f"not watched: {unwatched(version)}"
            return Scored(REFUSED, Verdict(DriftKind.DATA, Outcome.INCONCLUSIVE, reason, window.rows))
        reference = self._references.columns(basis.dataset, leave_out=self._no_features(version) | basis.leave_out)
        current = window_rows.features(session, window, list(reference.kinds))
        known = calibrating.known_of(session, window, version, rules)
        inputs = self._estimator.inputs(session, window, version)
        session.rollback()  # what follows takes seconds, and needs no connection
        started = time.monotonic()
        calibration = calibrating.limits_of(window, reference, known, rules) if reference.rows else None
        comparison, verdict = _judged(window.rows, reference, current, calibration, known.expected, rules)
        if version.reference is None:
            verdict = replace(verdict, reason=f"{verdict.reason}; compared with {basis.in_words}")
        metrics.SCORE_SECONDS.observe(time.monotonic() - started)
        estimates = self._estimator.estimate(inputs, window, version, verdict, comparison.scores, current)
        return Scored(SCORED, verdict, comparison, calibration, estimates)

    def _no_features(self, version: VersionRow) -> frozenset[str]:
        """Return columns of a reference that predictions do not have: they must not count in the calibration."""
        name = version.model_name
        label = self._policies.label(name) or (version.output or {}).get("label")
        return frozenset(each for each in (self._policies.entity(name), label) if each)

    def _record(self, session: Session, window_id: str, scored: Scored) -> None:
        window = locked(session, window_id)
        if window is None or window.state != COMPLETE:
            return
        verdict, comparison, calibration = scored.verdict, scored.comparison, scored.calibration
        window.state, window.scored_at = scored.state, now()
        window.data_outcome, window.data_reason = verdict.outcome, verdict.reason
        window.drift_share, window.drift_share_limit = verdict.observed, verdict.bound
        if comparison is not None:
            window.scores = [score.model_dump(mode="json") for score in comparison.scores]
            window.not_compared = dict(comparison.not_compared)
            calibrating.remember(session, window, comparison.summaries)
        if calibration is not None:
            calibrated_at = calibrating.keep(session, window, calibration, now())
            window.limits = calibration.basis() | {"calibrated_at": calibrated_at.isoformat()}
        scored.estimates.record(session, window, self._emitter)
        self._emitter.data(session, window, verdict, comparison.scores if comparison else ())
        self._drawings.want_announced(session, window)


def _judged(
    rows: int,
    reference: Reference,
    current: pd.DataFrame,
    calibration: Calibration | None,
    expected: frozenset[str],
    rules: Drift,
) -> tuple[Comparison, Verdict]:
    """Judge by the calibrated limits, or by the policy's `drift_share` with its fixed limit."""
    if rules.drift_share is not None:
        comparison = compare(reference, current, expected=expected)
        return comparison, judge_data(rows, comparison.scores, rules.drift_share, comparison.nothing)
    limits, basis = (calibration.limits, calibration.in_words) if calibration else ({}, "no limits")
    comparison = compare(reference, current, limits, expected)
    return comparison, judge_limits(rows, comparison.scores, rules.budget.in_words, basis, comparison.nothing)
