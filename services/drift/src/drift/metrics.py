"""Prometheus metrics of the drift service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import event
from sqlalchemy.orm import Session

PREDICTIONS = Counter("drift_predictions_total", "Rows of PredictionMade, by what became of them", ["model", "fate"])
LABELS = Counter("drift_labels_total", "Labels of GroundTruthReceived, by what became of them", ["model", "fate"])
ROLLOUT_ROWS = Counter("drift_rollout_rows_total", "Rows of rollouts, by what became of them", ["model", "fate"])
VERDICTS = Counter("drift_verdicts_total", "Verdicts on windows", ["model", "kind", "outcome"])
ANNOUNCED = Counter("drift_detected_total", "DriftDetected events", ["model", "kind"])
HARMFUL = Counter(
    "drift_harmful_total",
    "DriftDetected events of a dropped performance, or of a drift estimated to be harmful",
    ["model"],
)
HELD = Counter("drift_held_total", "Drift that was seen and not announced", ["model", "kind"])
SHARE = Gauge("drift_share", "Share of drifted features in the newest judged window", ["model"])
SCORE_SECONDS = Histogram(
    "drift_score_seconds", "Time to score a window, without its report", buckets=(0.05, 0.2, 1, 5)
)
REPORT_SECONDS = Histogram("drift_report_seconds", "Time to draw a report", buckets=(0.5, 1, 2, 5, 10, 30))


def once_committed(session: Session, count: Callable[[], object]) -> None:
    """Count after the commit: a transaction that rolls back is retried, and would count twice."""
    event.listen(session, "after_commit", lambda _session: count(), once=True)


def count_statuses(session: Session, counter: Counter, model_name: str, statuses: Mapping[str, int]) -> None:
    """Add to a counter by model and fate."""

    def count() -> None:
        for status, number in statuses.items():
            counter.labels(model_name, status).inc(number)

    once_committed(session, count)
