"""The state of a model's rollout on this replica: what is wanted, and its last failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import Envelope
from serving.loading.failure import Failure
from serving.policy.trials import DesiredTrial
from serving.policy.versions import Attempt


@dataclass(slots=True)
class TrialState:
    """Changed on the event loop only."""

    wanted: DesiredTrial | None = None
    cause: Envelope[Any] | None = None
    wanted_at: float = 0.0
    """When its version was first wanted; seconds, monotonic."""
    attempt: Attempt | None = None
    failure: Failure | None = None

    def want(self, trial: DesiredTrial, cause: Envelope[Any], now: float) -> None:
        """A further step of the same rollout knows of its version's failures; another rollout tries anew."""
        if self.wanted is None or not self.wanted.is_of_same(trial):
            self.wanted_at, self.attempt, self.failure = now, None, None
        self.wanted, self.cause = trial, cause
