"""Metrics of the gatekeeper. They count after the commit, so that a retried transaction does not count twice."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import event
from sqlalchemy.orm import Session

from contracts import Cause, Outcome, Result

VERDICTS = Counter("gauntlet_verdicts_total", "Candidates judged", ["outcome"])
GATES = Counter("gauntlet_gate_verdicts_total", "Verdicts of single gates", ["gate", "outcome"])
PROMOTIONS = Counter("gauntlet_promotions_total", "Champions made", ["cause"])
ROLLOUTS = Counter("gauntlet_rollouts_total", "Rollouts and watches that ended", ["result"])
BENCHMARKS = Counter("gauntlet_benchmarks_total", "Benchmarks that were completed", ["outcome"])
for counter, values in ((VERDICTS, Outcome), (PROMOTIONS, Cause), (ROLLOUTS, Result), (BENCHMARKS, Outcome)):
    for value in values:  # at 0 from the start: the first rollback is an increase
        counter.labels(value.value)

CHAMPION_VERSION = Gauge("gauntlet_champion_version", "The version that is champion by the database", ["model"])
CHAMPION_EPOCH = Gauge(
    "gauntlet_champion_epoch", "The champion's epoch by the database: serving has it within seconds", ["model"]
)
CHAMPION_SINCE = Gauge(
    "gauntlet_champion_since_timestamp_seconds",
    "When the champion was made, in seconds since 1970, with the cause (rollback: an alert)",
    ["model", "cause"],
)
FROZEN_SINCE = Gauge(
    "gauntlet_model_frozen_timestamp_seconds", "When a model was frozen that still is, in seconds since 1970", ["model"]
)
APPROVAL_EXPIRES = Gauge(
    "gauntlet_approval_expires_timestamp_seconds",
    "When a rollout ends by itself that waits for people's approval, in seconds since 1970",
    ["model"],
)
ROLLOUTS_RUNNING = Gauge("gauntlet_rollouts_running", "Rollouts and watches that run, by stage", ["stage"])
REPEATED = Counter(
    "gauntlet_decisions_repeated_total",
    "Decisions published again because their topic did not end with them",
    ["topic"],
)
OVERWRITTEN = Gauge(
    "gauntlet_decisions_overwritten",
    "Models over whose newest promotion or rollout something else is written on its topic (for minutes: an alert)",
)
BEATS_BASELINE = Gauge(
    "gauntlet_champion_beats_baseline",
    "Whether the champion was better than the trivial baseline in the newest benchmark (0: an alert)",
    ["model"],
)
AUDIT_CONTRADICTION = Gauge(
    "gauntlet_audit_head_contradicted",
    "Whether the audit trail no longer has the head that was published last (1: an alert)",
)
NOTIFICATIONS_SENT = Counter("gauntlet_notifications_sent_total", "Messages that a target has taken", ["target"])
NOTIFICATIONS_FAILED = Counter(
    "gauntlet_notifications_failed_total", "Messages that were given up after all attempts (an alert)", ["target"]
)
NOTIFICATION_ATTEMPTS_FAILED = Counter(
    "gauntlet_notifications_attempts_failed_total", "Attempts that a target has not taken", ["target"]
)
NOTIFICATIONS_WAITING = Gauge(
    "gauntlet_notifications_waiting", "Messages that wait to be sent, or sent again", ["target"]
)
NOTIFICATIONS_OLDEST = Gauge(
    "gauntlet_notifications_oldest_seconds",
    "Time since the oldest message that should have been sent by now was due first; 0: none",
    ["target"],
)
GATE_SECONDS = Histogram(
    "gauntlet_gate_seconds", "Time to gate a candidate, by step", ["step"], buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 120)
)


def after_commit(session: Session, count: Callable[[], None]) -> None:
    event.listen(session, "after_commit", lambda _: count(), once=True)
