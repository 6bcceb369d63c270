"""Publishes in the background: PredictionMade for every row answered, ModelLoaded and ModelLoadFailed.

Not through the outbox: that is for lifecycle events which a database decided, and serving has none. A prediction may be
lost (and is counted) rather than ever hold a request; a status is a report on what this replica is seen to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, Producer
from prometheus_client import Counter, Gauge

from chassis.cloudevents import Encoded, encode
from chassis.kafka import confluent_options
from chassis.telemetry import get_logger
from contracts import Envelope, Event, ModelLoaded, ModelLoadFailed, PredictionMade, new_envelope
from serving.prediction_events import SOURCE, Answered, Budget, encoded, is_sampled
from serving.settings import Settings

PAUSE_SECONDS = 0.05
"""Between two rounds. To publish each prediction as it comes would change threads for each, which costs several times
what its event costs."""
BUFFER_KILOBYTES = 64 * 1024

PUBLISHED = Counter("gauntlet_serving_predictions_published_total", "PredictionMade handed to Kafka's client")
DROPPED = Counter("gauntlet_serving_predictions_dropped_total", "PredictionMade that were not published", ["reason"])
WAITING = Gauge("gauntlet_serving_predictions_waiting", "Rows that wait to be published")

log = get_logger(__name__)


class Publisher:
    """A Part with a thread of its own around confluent-kafka, which costs the least and never waits for the broker."""

    name = "publisher"
    emits = (PredictionMade, ModelLoaded, ModelLoadFailed)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[Answered] = deque()
        self._waiting = 0
        self._stopping = threading.Event()
        self._budget = Budget(settings.prediction_rows_per_second)
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None

    async def start(self) -> None:
        """Needs no broker: what is published waits for it, within bounds."""
        options = confluent_options(self._settings) | {
            "client.id": f"{SOURCE}-{self._settings.role}",
            "acks": "all",
            "linger.ms": 50,
            "queue.buffering.max.messages": self._settings.prediction_buffer_rows,
            "queue.buffering.max.kbytes": BUFFER_KILOBYTES,
            "delivery.report.only.error": True,
        }
        self._producer = Producer(options, logger=logging.getLogger("kafka.confluent"))
        self._thread = threading.Thread(target=self._run, args=(self._producer,), name="publisher", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Give what is buffered `flush_seconds` to arrive; count what does not."""
        self._deadline = time.monotonic() + self._settings.flush_seconds
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._settings.flush_seconds + 1)

    def offer(self, answered: Answered) -> None:
        """Takes microseconds, whatever the broker does; what does not fit the buffer is dropped and counted."""
        if not self._settings.publish_predictions:
            return
        rows = len(answered.values)
        if not is_sampled(answered.request_id, self._settings.prediction_share):
            DROPPED.labels("not sampled").inc(rows)
            return
        if not self._budget.take(rows, time.monotonic()):
            DROPPED.labels("over the rate").inc(rows)
            return
        with self._lock:
            fits = self._waiting + rows <= self._settings.prediction_buffer_rows
            self._waiting += rows if fits else 0
        if fits:
            self._queue.append(answered)
        else:
            DROPPED.labels("buffer full").inc(rows)

    def report(self, event: Event, cause: Envelope[Any] | None) -> None:
        """Publish a status, past the predictions that wait."""
        assert self._producer is not None, "the publisher starts before the loader"
        envelope = new_envelope(event, source=f"{SOURCE}/{self._settings.replica}", cause=cause)
        try:
            self._produce(self._producer, event.topic, encode(envelope))
        except (BufferError, KafkaException) as error:
            log.error("status not published", type=event.type, model_name=event.model_name, error=str(error))

    def _run(self, producer: Producer) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            self._round(producer)
        assert self._deadline is not None, "set before it is told to stop"
        self._round(producer, self._deadline)
        left = producer.flush(max(0.0, self._deadline - time.monotonic()))
        if left or self._waiting:
            DROPPED.labels("stopped").inc(left + self._waiting)
            log.warning("stopped with predictions not published", rows=left + self._waiting)

    def _round(self, producer: Producer, deadline: float = math.inf) -> None:
        """Publish what has gathered; what comes meanwhile is for the next round, so that this one frees its places."""
        now, rows = datetime.now(UTC), 0
        for _ in range(len(self._queue)):
            if time.monotonic() >= deadline:
                break
            answered = self._queue.popleft()
            self._publish(producer, answered, now)
            rows += len(answered.values)
        with self._lock:  # once: it is the event loop's, too
            self._waiting -= rows
        WAITING.set(self._waiting + len(producer))
        producer.poll(0)

    def _publish(self, producer: Producer, answered: Answered, now: datetime) -> None:
        published = 0
        for event in encoded(answered, now):
            try:
                self._produce(producer, PredictionMade.topic, event)
                published += 1
            except BufferError:
                DROPPED.labels("buffer full").inc()
            except KafkaException as error:
                DROPPED.labels("refused").inc()
                log.warning("prediction refused by the Kafka client", error=str(error))
        PUBLISHED.inc(published)

    def _produce(self, producer: Producer, topic: str, event: Encoded) -> None:
        key, value, headers = event
        name = self._settings.topic_prefix + topic
        producer.produce(name, key=key, value=value, headers=list(headers), on_delivery=_undelivered)


def _undelivered(error: Any, message: Any) -> None:
    """Called for failures only (delivery.report.only.error)."""
    if error is not None:
        DROPPED.labels("not delivered").inc()
        log.warning("not delivered", topic=message.topic(), error=str(error))
