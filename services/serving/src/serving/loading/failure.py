"""Failed attempts to load a version."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from serving.policy.versions import Attempt, DesiredVersion, retry_delay
from serving.settings import Settings


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt, as it is shown."""

    desired: DesiredVersion
    reason: str
    permanent: bool
    attempts: int
    time: datetime

    def about(self) -> dict[str, Any]:
        return {
            "model_version": self.desired.artifact.model_version,
            "epoch": self.desired.epoch,
            "reason": self.reason,
            "attempts": self.attempts,
            "will_retry": not self.permanent,
            "time": self.time.isoformat(),
        }


def failure_of(attempt: Attempt, reason: str) -> Failure:
    return Failure(attempt.desired, reason, attempt.permanent, attempt.failures, datetime.now(UTC))


def attempt_after(earlier: Attempt | None, desired: DesiredVersion, settings: Settings, *, permanent: bool) -> Attempt:
    """Return the count of failures of `desired`, of which `earlier` were of the same version or of another."""
    failures = (earlier.failures if earlier is not None and earlier.desired == desired else 0) + 1
    delay = retry_delay(failures, settings.retry_first_seconds, settings.retry_limit_seconds)
    retry_at = time.monotonic() + delay * random.uniform(0.8, 1.2)  # replicas must not call MLflow all at once
    return Attempt(desired, failures, permanent, retry_at)
