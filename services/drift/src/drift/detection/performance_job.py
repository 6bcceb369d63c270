"""The job `performance`: the labelled rows of a window against the limits of its version, by sequential tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Permanent
from chassis.job_worker import JobRun
from chassis.jobs import Job
from chassis.telemetry import get_logger
from contracts import Dataset, DriftKind, Outcome, OutputFormat
from contracts.metrics import METRICS
from drift.database import store, window_rows
from drift.database.records import clean
from drift.database.tables import FILLING, VersionRow, WindowRow
from drift.database.window_rows import Answered
from drift.detection.emitter import DriftEmitter
from drift.detection.judged import Record, locked, nothing, now, window_of
from drift.policies import DriftPolicies
from drift.policy.estimates import Uncertainty
from drift.policy.maturity import no_label
from drift.policy.performance import Judged, Labelled, Limit, alert_limits, drop_limit, judge_performance
from drift.policy.sequential import Evidence
from drift.policy.windows import Verdict
from drift.reports.drawings import Drawings
from drift.scoring import golden
from drift.scoring.performance import measure
from drift.scoring.references import References

log = get_logger(__name__)


@dataclass(frozen=True)
class _Measured:
    """What a window's labelled rows say; `baseline`: what is known of the baseline's uncertainty, to be kept."""

    found: Sequence[tuple[Limit, Labelled]]
    baseline: dict[str, Any]


class PerformanceJob:
    """A window that was judged, superseded or deleted meanwhile stays unchanged.

    The state of the tests changes in the transaction that records the verdict: no window counts twice.
    """

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
        self._drawings = drawings

    def run(self, run: JobRun) -> Record:
        with self._database.reading() as session:
            window, version = window_of(session, run.job)
            if window is None or version is None or window.state == FILLING or window.performance_outcome is not None:
                return nothing
            labelled = window_rows.labelled(session, window)
        if (unjudged := _not_judged(run.job.payload, len(labelled))) is not None:
            return lambda session: self._record(session, window.id, unjudged, len(labelled))
        measured = self._measure(window, version, labelled)
        return lambda session: self._record(session, window.id, measured, len(labelled))

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Record a permanent failure as the window's verdict."""
        window = locked(session, job.payload["window"])
        if window is not None and window.performance_outcome is None:
            window.performance_outcome, window.performance_reason = Outcome.INCONCLUSIVE, clean(error)
            window.performance_at = now()

    def _measure(self, window: WindowRow, version: VersionRow, labelled: Sequence[Answered]) -> _Measured:
        name = window.model_name
        metric, rules = self._policies.metric(name, version.metric), self._policies.drift(name)
        output = self._policies.output(name, _output(version))

        @cache
        def of(metric: str | None) -> Labelled:
            if metric is None or metric not in METRICS:
                return Labelled(window.rows, len(labelled), None, None)
            return measure(metric, window.rows, labelled, output, version.baseline)

        baseline = self._baseline(version, metric, output)
        uncertainty = Uncertainty(*baseline["uncertainty"]) if baseline.get("uncertainty") else None
        against = drop_limit(metric, version.baseline.get(metric or ""), rules.metric_drop, uncertainty)
        limits = [against, *alert_limits(rules.alerts)]
        return _Measured([(limit, of(limit.metric)) for limit in limits], baseline)

    def _baseline(self, version: VersionRow, metric: str | None, output: OutputFormat | None) -> dict[str, Any]:
        """Return the uncertainty of the baseline, of the golden predictions that the promotion names; kept once known.

        Raises Transient while MLflow is unavailable.
        """
        if version.golden_predictions is None or metric is None or metric not in METRICS:
            return {}
        dataset = Dataset.model_validate(version.golden_predictions)
        kept: dict[str, Any] = (version.performance or {}).get("baseline", {})
        if kept.get("metric") == metric and kept.get("digest") == dataset.digest:
            return kept
        try:
            rows = golden.read(self._references.frame(dataset)).answered
        except (Permanent, ValueError) as error:
            log.warning("the baseline is taken as exact", model=version.model_name, error=str(error))
            return {"metric": metric, "digest": dataset.digest, "uncertainty": None}
        found = measure(metric, len(rows), rows, output, version.baseline).uncertainty
        return {"metric": metric, "digest": dataset.digest, "uncertainty": found and [found.se, found.units, found.of]}

    def _record(self, session: Session, window_id: str, found: _Measured | Verdict, labelled: int) -> None:
        window = locked(session, window_id)
        if window is None or window.performance_outcome is not None:
            return
        version = store.version_of(session, window.model_name, window.model_version)
        state = version.performance or {}
        if isinstance(found, Verdict):
            judged = Judged(found, None)
        else:
            tests = {name: Evidence.model_validate(each) for name, each in state.get("tests", {}).items()}
            judged = judge_performance(found.found, tests, self._policies.drift(window.model_name).budget)
        verdict = judged.verdict
        window.performance_outcome, window.performance_reason = verdict.outcome, verdict.reason
        window.metric, window.observed, window.bound = judged.metric, verdict.observed, verdict.bound
        window.low, window.high, window.performance_at = verdict.low, verdict.high, now()
        window.performance = {"labelled": labelled, "tests": [test.model_dump(mode="json") for test in judged.tests]}
        self._emitter.performance(session, window, verdict, judged.metric)
        self._drawings.want_announced(session, window)
        if not isinstance(found, Verdict):
            # An alarm that was held back, in the cooldown of another one, is announced with the next window.
            after = judged.states if window.performance_held else judged.restarted
            kept = {name: each.model_dump(mode="json") for name, each in after.items()}
            version.performance = {**state, "tests": kept, "baseline": found.baseline}


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
