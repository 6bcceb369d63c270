"""Ground truth: labels, some time after each response, on the topic `ground-truth`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from kafka import KafkaProducer
from kafka.errors import KafkaError

from chassis.kafka import kafka_python_options
from contracts import GroundTruthReceived, new_envelope
from contracts.cloudevents import encode
from gauntlet.broker import Broker

DELAY_SECONDS = 0.5
LINGER_MS = 20
SOURCE = "demo"


class Truth:
    """A thread that publishes labels by request and row. `failures` lists what did not reach Kafka."""

    def __init__(self, broker: Broker, model_name: str) -> None:
        self._broker = broker
        self._model_name = model_name
        self._queue: queue.SimpleQueue[tuple[float, str, Sequence[int]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="truth", daemon=True)
        self.sent = 0
        self.failures: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(10)

    def follows(self, request_id: str, labels: Sequence[int]) -> None:
        """Enqueue the labels of that request's rows; they are published a little later."""
        self._queue.put((time.monotonic() + DELAY_SECONDS, request_id, labels))

    def _run(self) -> None:
        topic = self._broker.settings.topic_prefix + GroundTruthReceived.topic
        options = kafka_python_options(self._broker.settings)
        producer = KafkaProducer(**options, acks="all", linger_ms=LINGER_MS, allow_auto_create_topics=False)
        try:
            while (due := self._queue.get()) is not None:
                at, request_id, labels = due
                time.sleep(max(0.0, at - time.monotonic()))
                for row, label in enumerate(labels):
                    self._publish(producer, topic, request_id, row, label)
        finally:
            producer.close(timeout=5)

    def _publish(self, producer: KafkaProducer, topic: str, request_id: str, row: int, label: int) -> None:
        event = GroundTruthReceived(model_name=self._model_name, request_id=request_id, row=row, label=label)
        key, value, headers = encode(new_envelope(event, source=SOURCE))
        try:
            producer.send(topic, key=key, value=value, headers=headers).add_errback(
                lambda error: self.failures.append(str(error))
            )
            self.sent += 1
        except KafkaError as error:
            self.failures.append(str(error))
