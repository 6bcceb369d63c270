"""Refused decisions, as an operator sees them: a metric, and log lines that no flood of them fills the disk with."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import Counter

from chassis.telemetry import get_logger

REFUSED = Counter(
    "gauntlet_events_refused_total",
    "With trusted keys: records of signed topics that were not believed",
    ["topic", "when", "why"],
)
"""`when`: "history" for what was on the topic before the service started, "live" for what arrives since."""

BURST, PER_SECOND = 20.0, 1.0

log = get_logger(__name__)


class Refusals:
    """Logs refusals at error: the first twenty, then one a second, which says how many were left out."""

    def __init__(self) -> None:
        self._allowed, self._at, self._left_out = BURST, time.monotonic(), 0

    def log(self, **about: Any) -> None:
        now = time.monotonic()
        self._allowed, self._at = min(BURST, self._allowed + (now - self._at) * PER_SECOND), now
        if self._allowed < 1:
            self._left_out += 1
            return
        more = {"left_out": self._left_out} if self._left_out else {}
        self._allowed, self._left_out = self._allowed - 1, 0
        log.error("event not believed", **about, **more)
