"""Publishes ModelLoaded and ModelLoadFailed: the status of a replica.

Not through the outbox, which is for lifecycle events that a database decided, and serving has none; not through the
publisher, whose buffers may be full of predictions.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from confluent_kafka import KafkaException, Producer

from chassis import tracing
from chassis.kafka import confluent_options
from chassis.kafka_problem import require_usable_files
from chassis.telemetry import get_logger
from contracts import Envelope, Event, ModelLoaded, ModelLoadFailed, new_envelope
from contracts.cloudevents import encode
from serving.publishing.prediction_events import SOURCE
from serving.settings import Settings

log = get_logger(__name__)


class StatusPublisher:
    """A Part. Needs no broker to start: reports wait for it."""

    name = "statuses"
    emits = (ModelLoaded, ModelLoadFailed)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None

    async def start(self) -> None:
        require_usable_files(self._settings)
        options = confluent_options(self._settings) | {
            "client.id": f"{SOURCE}-{self._settings.role}-status",
            "acks": "all",
            "delivery.report.only.error": True,
        }
        self._producer = Producer(options, logger=logging.getLogger("kafka.confluent"))

    async def stop(self) -> None:
        if self._producer is not None:
            left = await asyncio.to_thread(self._producer.flush, self._settings.flush_seconds)
            if left:
                log.warning("stopped with statuses not published", events=left)

    def report(self, event: Event, cause: Envelope[Any] | None) -> None:
        """Publish a report; takes microseconds, whatever the broker does. Also logs earlier failures."""
        assert self._producer is not None, "it starts before the loader"
        envelope = new_envelope(event, source=f"{SOURCE}/{self._settings.replica}", cause=cause)
        envelope = tracing.created(envelope)
        key, value, headers = encode(envelope)
        topic = self._settings.topic_prefix + event.topic
        try:
            self._producer.produce(topic, key=key, value=value, headers=list(headers), on_delivery=_undelivered)
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            log.error("status not published", type=event.type, model_name=event.model_name, error=str(error))


def _undelivered(error: Any, message: Any) -> None:
    if error is not None:
        log.warning("not delivered", topic=message.topic(), error=str(error))
