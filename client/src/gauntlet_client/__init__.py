"""Gauntlet from Python: register, decide, predict, report what became of it, and follow the events.

`Gauntlet` and `AsyncGauntlet` have the same methods. Kafka's clients are imported when events are read or published.
"""

from __future__ import annotations

from gauntlet_client.async_client import AsyncGauntlet
from gauntlet_client.async_subscription import AsyncSubscription
from gauntlet_client.client import Gauntlet
from gauntlet_client.errors import (
    AccessDenied,
    ClientError,
    Conflict,
    Invalid,
    NotFound,
    ServiceError,
    Unavailable,
    Unreachable,
    WaitTimeout,
)
from gauntlet_client.results import (
    Candidate,
    Feedback,
    Fleet,
    FleetReplica,
    Freeze,
    Model,
    Prediction,
    Predictions,
    Promotion,
    Registration,
    Replica,
    Rollout,
    Verdict,
    Waited,
)
from gauntlet_client.subscription import Subscription

__all__ = [
    "AccessDenied",
    "AsyncGauntlet",
    "AsyncSubscription",
    "Candidate",
    "ClientError",
    "Conflict",
    "Feedback",
    "Fleet",
    "FleetReplica",
    "Freeze",
    "Gauntlet",
    "Invalid",
    "Model",
    "NotFound",
    "Prediction",
    "Predictions",
    "Promotion",
    "Registration",
    "Replica",
    "Rollout",
    "ServiceError",
    "Subscription",
    "Unavailable",
    "Unreachable",
    "Verdict",
    "WaitTimeout",
    "Waited",
]
