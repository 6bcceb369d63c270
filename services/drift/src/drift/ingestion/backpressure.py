"""How far the streams are behind, as metrics and in the log; and the share of requests that is taken meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from zlib import crc32

from prometheus_client import Gauge

from chassis.background import Periodic
from chassis.stream import StreamConsumer
from chassis.stream_lag import Lag
from chassis.telemetry import get_logger
from contracts import PredictionMade
from contracts.cloudevents import Record
from drift.database.columns import Made
from drift.ingestion import predictions
from drift.ingestion.predictions import Read, Skipped
from drift.policy.sampling import Pressure, next_pressure

EVERY = timedelta(seconds=1)
OF_ALL = 2**32

BEHIND = Gauge("drift_behind", "1 while a stream has been too far behind for long", ["topic"])
SHARE = Gauge("drift_taken_share", "Share of the requests whose rows are taken into windows")

log = get_logger(__name__)


class Backpressure(Periodic):
    """A Part. `streams`: those that run now."""

    name = "backpressure"
    waits = failed = "lag not looked at"

    def __init__(self, streams: Callable[[], Sequence[StreamConsumer]], allowed: timedelta, *, sample: bool) -> None:
        super().__init__(EVERY)
        self._streams = streams
        self._allowed = allowed
        self._sample = sample
        self._pressures: dict[str, Pressure] = {}

    @property
    def share(self) -> float:
        """Return the share of the requests that is taken."""
        found = self._pressures.get(PredictionMade.topic)
        return 1.0 if found is None else found.share

    def once(self) -> None:
        for lag in self._lags():
            self.look(lag.topic, lag.seconds, time.monotonic())

    def look(self, topic: str, lag: float, at: float) -> None:
        """Take note that a stream is `lag` seconds behind."""
        before = self._pressures.get(topic, Pressure(since=at))
        sample = self._sample and topic == PredictionMade.topic
        after = self._pressures[topic] = next_pressure(before, lag, self._allowed, at, sample=sample)
        if after != before and (after.alert or after.share != before.share):
            log.warning("behind", topic=topic, seconds=round(lag), share_taken=after.share)
        elif before.alert and not after.alert:
            log.info("no longer behind", topic=topic, share_taken=after.share)
        BEHIND.labels(topic).set(after.alert)
        SHARE.set(self.share)

    def read(self, record: Record, max_bytes: int) -> Made | Read | Skipped:
        """Read a prediction, or skip its request. Raises as `predictions.read`."""
        share = self.share
        if share < 1.0 and not is_taken(record, share):
            return Skipped((record.key or b"").decode(errors="replace"))
        return predictions.read(record, max_bytes)

    def details(self) -> dict[str, Any]:
        """Return what GET /ready says of the streams."""
        return {
            lag.topic: {
                "messages_behind": lag.waiting,
                "seconds_behind": round(lag.seconds, 1),
                "behind": self._pressures.get(lag.topic, Pressure()).alert,
                "share_taken": self.share if lag.topic == PredictionMade.topic else 1.0,
            }
            for lag in self._lags()
        }

    def _lags(self) -> list[Lag]:
        return [lag for stream in self._streams() for lag in stream.lags.values()]


def is_taken(record: Record, share: float) -> bool:
    """Return whether a row is in the share, as all rows of its request; one of a rollout always is.

    By the correlation id, which is the request's, so that what is skipped need not be parsed. What tells no request
    is taken.
    """
    value = record.value or b""
    if b'"rollout_id"' in value and b'"rollout_id":null' not in value:
        return True
    for name, content in record.headers:
        if name == "ce_correlationid" and content:
            return crc32(content) < share * OF_ALL
    return True
