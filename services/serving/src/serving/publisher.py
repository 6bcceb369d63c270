"""Publishes in the background: PredictionMade for every row answered, ModelLoaded and ModelLoadFailed.

Not through the outbox: that is for lifecycle events which a database decided, and serving has none. A prediction may be
lost (and is counted) rather than ever hold a request; a status is a report on what this replica is seen to do.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaException, Producer
from prometheus_client import Counter, Gauge

from chassis.cloudevents import encode
from chassis.kafka import confluent_options
from chassis.telemetry import get_logger
from contracts import Envelope, Event, ModelLoaded, ModelLoadFailed, Output, PredictionMade, new_envelope
from serving.rows import Row
from serving.settings import Settings

SOURCE = "serving"
WAIT_SECONDS = 0.1
BUFFER_KILOBYTES = 64 * 1024

PUBLISHED = Counter("gauntlet_serving_predictions_published_total", "PredictionMade handed to Kafka's client")
DROPPED = Counter("gauntlet_serving_predictions_dropped_total", "PredictionMade that were not published", ["reason"])
WAITING = Gauge("gauntlet_serving_predictions_waiting", "Rows that wait to be published")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's rows and what was answered; one event a row follows from it."""

    model_name: str
    model_version: int
    request_id: str
    rows: Sequence[Row]
    features: Sequence[str]
    entities: Sequence[str | None]
    event_times: Sequence[datetime | None]
    labels: Sequence[Any]
    scores: Sequence[float] | None
    latency_ms: float = 0.0


class Publisher:
    """A Part with a thread of its own around confluent-kafka, which costs the least and never waits for the broker."""

    name = "publisher"
    emits = (PredictionMade, ModelLoaded, ModelLoadFailed)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: queue.SimpleQueue[Answered] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None

    async def start(self) -> None:
        """Needs no broker: what is published waits for it, within bounds."""
        options = confluent_options(self._settings) | {
            "client.id": f"{SOURCE}-{self._settings.role}",
            "acks": "all",
            "linger.ms": 5,
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
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._settings.flush_seconds + 1)

    def offer(self, answered: Answered) -> None:
        """Takes microseconds, whatever the broker does; what does not fit the buffer is dropped and counted."""
        if not self._settings.publish_predictions:
            return
        with self._lock:
            fits = self._waiting + len(answered.rows) <= self._settings.prediction_buffer_rows
            self._waiting += len(answered.rows) if fits else 0
        if fits:
            self._queue.put(answered)
        else:
            DROPPED.labels("buffer full").inc(len(answered.rows))

    def report(self, event: Event, cause: Envelope[Any] | None) -> None:
        """Publish a status, past the predictions that wait."""
        assert self._producer is not None, "the publisher starts before the loader"
        envelope = new_envelope(event, source=f"{SOURCE}/{self._settings.replica}", cause=cause)
        try:
            self._produce(self._producer, envelope)
        except (BufferError, KafkaException) as error:
            log.error("status not published", type=event.type, model_name=event.model_name, error=str(error))

    def _run(self, producer: Producer) -> None:
        while self._deadline is None or (not self._queue.empty() and time.monotonic() < self._deadline):
            try:
                answered = self._queue.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                producer.poll(0)
                continue
            self._publish(producer, answered)
            with self._lock:
                self._waiting -= len(answered.rows)
            WAITING.set(self._waiting + len(producer))
        left = producer.flush(max(0.0, self._deadline - time.monotonic()))
        if left or self._waiting:
            DROPPED.labels("stopped").inc(left + self._waiting)
            log.warning("stopped with predictions not published", rows=left + self._waiting)

    def _publish(self, producer: Producer, answered: Answered) -> None:
        for envelope in _events(answered):
            try:
                self._produce(producer, envelope)
                PUBLISHED.inc()
            except BufferError:
                DROPPED.labels("buffer full").inc()
            except KafkaException as error:
                DROPPED.labels("refused").inc()
                log.warning("prediction refused by the Kafka client", error=str(error))
        producer.poll(0)

    def _produce(self, producer: Producer, envelope: Envelope[Any]) -> None:
        key, value, headers = encode(envelope)
        topic = self._settings.topic_prefix + envelope.data.topic
        producer.produce(topic, key=key, value=value, headers=list(headers), on_delivery=_undelivered)


def _events(answered: Answered) -> Iterator[Envelope[PredictionMade]]:
    """The id of each is made of request and row, so that the same one published twice is one."""
    for number, row in enumerate(answered.rows):
        score = answered.scores[number] if answered.scores is not None else None
        try:
            event = PredictionMade(
                model_name=answered.model_name,
                request_id=answered.request_id,
                row=number,
                entity_id=answered.entities[number] if answered.entities else None,
                event_time=answered.event_times[number] if answered.event_times else None,
                features={name: row[name] for name in answered.features if name in row},
                champion=Output(model_version=answered.model_version, score=score, label=answered.labels[number]),
                latency_ms=answered.latency_ms,
            )
        except ValueError as error:
            DROPPED.labels("invalid").inc()
            log.error("prediction does not fit the event", error=str(error).splitlines()[0])
            continue
        yield new_envelope(
            event, source=SOURCE, event_id=f"{answered.request_id}:{number}", correlation_id=answered.request_id
        )


def _undelivered(error: Any, message: Any) -> None:
    """Called for failures only (delivery.report.only.error)."""
    if error is not None:
        DROPPED.labels("not delivered").inc()
        log.warning("not delivered", topic=message.topic(), error=str(error))
