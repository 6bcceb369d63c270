"""All event types, by name and by topic."""

from __future__ import annotations

from contracts.audit import AuditHeadSigned
from contracts.benchmarks import BenchmarkCompleted, BenchmarkDue
from contracts.event import Event
from contracts.lifecycle import (
    GateFailed,
    GatePassed,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Promoted,
    TrainingFailed,
    TrainingRequested,
)
from contracts.production import DriftDetected, GroundTruthReceived, PredictionMade
from contracts.rollouts import (
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    RolloutChanged,
    RolloutMeasured,
)

EVENTS: tuple[type[Event], ...] = (
    TrainingRequested,
    TrainingFailed,
    ModelRegistered,
    GatePassed,
    GateFailed,
    Promoted,
    ModelLoaded,
    ModelLoadFailed,
    PredictionMade,
    GroundTruthReceived,
    DriftDetected,
    RolloutChanged,
    RolloutMeasured,
    ApprovalRequested,
    ApprovalGiven,
    ApprovalRefused,
    BenchmarkDue,
    BenchmarkCompleted,
    AuditHeadSigned,
)

BY_TYPE: dict[str, type[Event]] = {event.type: event for event in EVENTS}


def types_on(topic: str) -> tuple[type[Event], ...]:
    """Return the event types on `topic` (without prefix)."""
    return tuple(event for event in EVENTS if event.topic == topic)
