"""All events of one model, read as they arrive: the story waits for events, and counts them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kafka import TopicPartition
from kafka.errors import KafkaError

from chassis.errors import Malformed
from contracts import (
    DriftDetected,
    Envelope,
    Event,
    GateFailed,
    GatePassed,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
    TrainingFailed,
    TrainingRequested,
)
from contracts.cloudevents import Record, decode
from gauntlet.broker import Broker
from gauntlet.demo.checks import StepFailed

READ: tuple[type[Event], ...] = (
    TrainingRequested,
    TrainingFailed,
    ModelRegistered,
    GatePassed,
    GateFailed,
    Promoted,
    ModelLoaded,
    ModelLoadFailed,
    DriftDetected,
    RolloutChanged,
    RolloutMeasured,
)
POLL_MS = 200
LAST_SHOWN = 5

E = TypeVar("E", bound=Event)
Where = Callable[[Envelope[Any]], bool]


def anything(_envelope: Envelope[Any]) -> bool:
    return True


class Journal:
    """Use it as a context manager. Records are kept individually: an event published twice appears twice."""

    def __init__(self, broker: Broker, model_name: str) -> None:
        self._broker = broker
        self._model_name = model_name
        self._entries: list[Envelope[Any]] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._read, name="journal", daemon=True)

    def __enter__(self) -> Journal:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def every(self, *types: type[E], where: Where = anything) -> list[Envelope[E]]:
        """Return all that arrived so far, in order of arrival."""
        with self._changed:
            return [found for found in self._entries if isinstance(found.data, types) and where(found)]

    def wait(
        self,
        *types: type[E],
        seconds: float,
        what: str,
        where: Where = anything,
        unless: Callable[[], str | None] = lambda: None,
    ) -> Envelope[E]:
        """Return the first such event, old or within `seconds`. Raises StepFailed, at once if `unless` has a reason."""
        deadline = time.monotonic() + seconds
        while True:
            if found := self.every(*types, where=where):
                return found[0]
            if (reason := unless()) or (reason := self._problem):
                raise StepFailed(f"{what} did not come: {reason}")
            with self._changed:
                if (left := deadline - time.monotonic()) <= 0:
                    raise StepFailed(f"{what} did not come within {seconds:g} s; the bus last said: {self._last()}")
                self._changed.wait(min(left, 0.5))

    def training_failure(self, request: Envelope[Any]) -> str | None:
        """Return why the training of `request` failed, if it did."""
        failed = self.every(TrainingFailed, where=lambda found: found.correlation_id == request.correlation_id)
        return f"the training failed: {failed[0].data.reason}" if failed else None

    def _last(self) -> str:
        return "; ".join(_told(envelope) for envelope in self._entries[-LAST_SHOWN:]) or "nothing"

    def _read(self) -> None:
        try:
            self._follow()
        except (KafkaError, OSError) as error:
            with self._changed:
                self._problem = f"reading the bus failed: {type(error).__name__}: {error}"
                self._changed.notify_all()

    def _follow(self) -> None:
        prefix = self._broker.settings.topic_prefix
        topics = sorted({prefix + event.topic for event in READ})
        consumer = self._broker.consumer()
        try:
            partitions = [
                TopicPartition(topic, number)
                for topic in topics
                for number in consumer.partitions_for_topic(topic) or ()
            ]
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek_to_beginning(partition)
            while not self._stopping.is_set():
                for messages in consumer.poll(POLL_MS).values():
                    self._take(messages, prefix)
        finally:
            consumer.close()

    def _take(self, messages: Sequence[Any], prefix: str) -> None:
        for message in messages:
            topic = message.topic.removeprefix(prefix)
            record = Record(topic, message.key, message.value, tuple(message.headers), message.timestamp)
            try:
                envelope = decode(record, self._broker.settings.max_event_bytes)
            except Malformed:
                continue  # ignored here: the services keep it as a dead letter
            if envelope.model_name == self._model_name:
                with self._changed:
                    self._entries.append(envelope)
                    self._changed.notify_all()


def version_is(version: int) -> Where:
    return lambda found: getattr(found.data, "model_version", None) == version


def _told(envelope: Envelope[Any]) -> str:
    version = getattr(envelope.data, "model_version", None)
    return type(envelope.data).__name__ + (f" v{version}" if version else "")
