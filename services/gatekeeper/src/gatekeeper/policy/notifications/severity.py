"""How much an event matters to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts import Cause, DriftKind, Harm, Outcome, Result, Stage
from contracts.notification_settings import Notified, Severity

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL

ALWAYS: Mapping[Notified, Severity] = {
    Notified.TRAINING_REQUESTED: INFO,
    Notified.TRAINING_FAILED: WARNING,
    Notified.MODEL_REGISTERED: INFO,
    Notified.GATE_PASSED: INFO,
    Notified.GATE_FAILED: WARNING,
    Notified.MODEL_LOADED: INFO,
    Notified.APPROVAL_REQUESTED: WARNING,
    Notified.APPROVAL_GIVEN: INFO,
    Notified.APPROVAL_REFUSED: INFO,
    Notified.BENCHMARK_DUE: INFO,
}
"""Events that matter as much whatever they contain."""

ENDED: Mapping[Result, Severity | None] = {
    Result.PROMOTED: None,
    Result.ROLLED_BACK: None,
    Result.ABORTED: WARNING,
    Result.KEPT: INFO,
    Result.REFUSED: INFO,
    Result.EXPIRED: WARNING,
    Result.SUPERSEDED: INFO,
}
"""The end of a rollout; None: Promoted, which comes with it, says it."""


def severity_of(event_type: str, data: Mapping[str, Any]) -> Severity | None:
    """Return how much an event matters; None for one that is never a message.

    `event_type`: the name of its class; `data`: its JSON. A value that this build does not know yet is a warning.
    """
    try:
        event = Notified(event_type)
    except ValueError:
        return None  # sums and predictions, which come each second
    try:
        return _of(event, data)
    except ValueError:
        return WARNING


def _of(event: Notified, data: Mapping[str, Any]) -> Severity | None:
    if event is Notified.PROMOTED:
        return CRITICAL if Cause(data["cause"]) is Cause.ROLLBACK else INFO
    if event is Notified.ROLLOUT_CHANGED:
        ended = Stage(data["stage"]) is Stage.ENDED
        return ENDED[Result(data["result"])] if ended else INFO
    if event is Notified.DRIFT_DETECTED:
        return _of_drift(data)
    if event is Notified.MODEL_LOAD_FAILED:
        return CRITICAL if data.get("permanent") and data.get("role") == "production" else WARNING
    if event is Notified.BENCHMARK_COMPLETED:
        return WARNING if Outcome(data["outcome"]) is Outcome.FAILED else INFO
    return ALWAYS[event]


def _of_drift(data: Mapping[str, Any]) -> Severity:
    """Other scores alone, or a drift that is estimated to do no harm, call for nobody."""
    harm = (data.get("harm") or {}).get("harm")
    benign = harm is not None and Harm(harm) is Harm.BENIGN
    return INFO if benign or DriftKind(data["kind"]) is DriftKind.PREDICTION else WARNING
