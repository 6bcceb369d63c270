"""The job `live_metrics`: each judged window as a step of its version's run in MLflow, readable with plain MLflow.

A window is judged twice, on its features and, when its labels are mature, on its performance; each verdict writes its
own metrics. A job that runs twice writes the same points again, and MLflow keeps one of each.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import NotFound
from chassis.job_worker import JobRun
from chassis.jobs import Jobs
from chassis.registry import WINDOW_METRICS, MetricPoint, Registry
from chassis.telemetry import get_logger
from drift.database import store
from drift.database.tables import WindowRow
from drift.detection.judged import Record, nothing

LIVE_METRICS = "live_metrics"
EXPERIMENT = "gauntlet-windows"
"""Of the runs for versions that were registered without one."""

Of = Literal["data", "performance"]

log = get_logger(__name__)


def enqueue(jobs: Jobs, session: Session, window: WindowRow, of: Of) -> None:
    """Have the metrics of a verdict written, once this transaction commits."""
    payload = {"window": window.id, "of": of}
    job_id = f"{LIVE_METRICS}:{window.key}:{of}"
    jobs.enqueue(session, kind=LIVE_METRICS, key=window.model_name, payload=payload, job_id=job_id)


def points_of(window: WindowRow, of: Of) -> list[MetricPoint]:
    """Return the metrics of a verdict: step is the window's number, time the end of its rows."""
    figures = _of_data(window) if of == "data" else _of_performance(window)
    at = window.end or window.closed_at or window.opened_at
    # MLflow takes no time before 1970; rows may carry one.
    at = max(at, datetime.fromtimestamp(0, UTC))
    return [
        MetricPoint(WINDOW_METRICS + name, float(value), window.number, at)
        for name, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _of_data(window: WindowRow) -> dict[str, Any]:
    drifted = {score["feature"] for score in window.scores if score["drifted"]}
    found = {"rows": window.rows, "drift_share": window.drift_share}
    if window.scores:
        found["drifted_columns"] = len(drifted)
    proxy = window.proxy or {}
    if metric := proxy.get("metric"):
        found[f"estimated.{metric}"] = proxy.get("estimated")
    return found


def _of_performance(window: WindowRow) -> dict[str, Any]:
    basis = window.performance or {}
    found = {"labelled": basis.get("labelled") or None}  # labels may come after a verdict that rests on none
    return found | {test["metric"]: test["observed"] for test in basis.get("tests", []) if test["metric"]}


class LiveMetrics:
    """Writes to MLflow; waits while it is unavailable."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def run(self, run: JobRun) -> Record:
        """Raises Transient while MLflow is unavailable."""
        with self._database.reading() as session:
            window = store.window_by_id(session, run.job.payload["window"])
            if window is None:
                return nothing
            points = points_of(window, run.job.payload["of"])
            name, version = window.model_name, window.model_version
        try:
            run_id = self._registry.version(name, version).run_id
            run_id = run_id or self._registry.own_run(EXPERIMENT, f"{name} version {version}")
            self._registry.log_metrics(run_id, points)
        except NotFound as error:
            log.warning("no run in MLflow for the metrics of a window", window=window.id, error=str(error))
        return nothing
