"""How far a stream is behind the newest messages of its topic."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Gauge

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

MESSAGES = Gauge("gauntlet_stream_lag", "Messages of a partition that are not handled yet", ["topic", "partition"])
SECONDS = Gauge(
    "gauntlet_stream_lag_seconds", "Age of the newest message that was handled, while more of them wait", ["topic"]
)


@dataclass
class Lag:
    """`topic`: without prefix; `messages` that wait, by partition; `newest`: when the newest handled one was published,
    in seconds since 1970."""

    topic: str
    messages: dict[int, int] = field(default_factory=dict)
    newest: float | None = None

    @property
    def waiting(self) -> int:
        return sum(self.messages.values())

    @property
    def seconds(self) -> float:
        """Return the age of the newest handled message while others wait."""
        return 0.0 if self.newest is None or not self.waiting else max(0.0, time.time() - self.newest)

    def note(self, consumer: Consumer, positions: Sequence[TopicPartition], newest: float | None = None) -> None:
        """Note how many messages wait, by what the broker said with the newest answers.

        `positions`: of the partitions of this topic; `newest`: of the messages handled.
        """
        for item in positions:
            if item.offset < 0:
                continue  # nothing was read of it yet
            _, high = consumer.get_watermark_offsets(item, cached=True)
            self.messages[item.partition] = max(0, high - item.offset) if high >= 0 else 0
            MESSAGES.labels(self.topic, str(item.partition)).set(self.messages[item.partition])
        if newest is not None:
            self.newest = newest
        SECONDS.labels(self.topic).set(self.seconds)

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop partitions that were taken away."""
        for partition in partitions:
            if self.messages.pop(partition, None) is not None:
                MESSAGES.remove(self.topic, str(partition))
