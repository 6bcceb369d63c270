"""Events that a client waits for: sent to Kafka, and counted when the broker has acknowledged them.

Not through the publisher: its buffer may be full of predictions, it receives reports of failures only, and it waits
for a broker without limit; here a client waits for the response.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer
from prometheus_client import Counter

from chassis.kafka import confluent_options
from chassis.kafka_problem import require_usable_files
from contracts import GroundTruthReceived
from contracts.cloudevents import Encoded
from serving.publishing.prediction_events import SOURCE
from serving.settings import Settings

POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
"""Kafka's client checks for expired messages once a second."""
REQUESTS_BUFFERED = 20

FEEDBACK = Counter("gauntlet_serving_feedback_total", "Ground truth that was sent here", ["outcome"])


@dataclass
class Tally:
    """The outcome of a batch. Used on the event loop only."""

    left: int
    acknowledged: int = 0
    reason: str = ""
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, error: str | None) -> None:
        self.left -= 1
        if error is None:
            self.acknowledged += 1
        else:
            self.reason = error
        if self.left <= 0:
            self.settled.set()


class FeedbackPublisher:
    """A Part: a producer (acks=all) with a thread that receives the broker's acknowledgements."""

    name = "deliveries"
    emits = (GroundTruthReceived,)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    async def start(self) -> None:
        require_usable_files(self._settings)
        options = confluent_options(self._settings) | {
            "client.id": f"{SOURCE}-{self._settings.role}-feedback",
            "acks": "all",
            "message.timeout.ms": int(self._settings.feedback_seconds * 1000),
            "queue.buffering.max.messages": self._settings.feedback_max_items * REQUESTS_BUFFERED,
        }
        self._producer = Producer(options, logger=logging.getLogger("kafka.confluent"))
        self._thread = threading.Thread(target=self._run, args=(self._producer,), name="deliveries", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop. Every request has its response by now; nothing is left to wait for."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 2 * POLL_SECONDS)

    async def deliver(self, topic: str, events: Sequence[Encoded]) -> Tally:
        """Send events; return how many were acknowledged within `feedback_seconds`, and why the others were not."""
        assert self._producer is not None, "it starts before the models are known"
        tally, loop = Tally(len(events)), asyncio.get_running_loop()

        def on_delivery(error: Any, _message: Any) -> None:
            try:
                loop.call_soon_threadsafe(tally.count, str(error) if error is not None else None)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        name = self._settings.topic_prefix + topic
        for key, value, headers in events:
            try:
                self._producer.produce(name, key=key, value=value, headers=list(headers), on_delivery=on_delivery)
            except (BufferError, KafkaException) as error:
                tally.count(str(error))
        try:
            async with asyncio.timeout(self._settings.feedback_seconds + GRACE_SECONDS):
                await tally.settled.wait()
        except TimeoutError:
            tally.reason = tally.reason or "no acknowledgement"
        FEEDBACK.labels("accepted").inc(tally.acknowledged)
        FEEDBACK.labels("not acknowledged").inc(len(events) - tally.acknowledged)
        return tally

    def _run(self, producer: Producer) -> None:
        while not self._stopping.is_set():
            producer.poll(POLL_SECONDS)
