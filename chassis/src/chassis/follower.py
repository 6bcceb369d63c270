"""A follower: reads compacted topics from the beginning, without a consumer group, and keeps following them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chassis.cloudevents import Record, decode
from chassis.errors import Malformed, Transient
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options
from chassis.kafka_access import Need
from chassis.kafka_problem import explain
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from contracts import Envelope, Event

log = get_logger(__name__)


class Follower:
    """A Part. `caught_up` is set once every record present at the start has been passed to `on_event`.

    Tombstones are skipped. A record that is not a valid event is logged and passed to `on_bad`: without a group there
    is no offset to hold back, and the newest valid record of a model remains authoritative.
    """

    name = "follower"

    def __init__(
        self,
        settings: ServiceSettings,
        events: Sequence[type[Event]],
        on_event: Callable[[Envelope[Any]], Any],
        on_bad: Callable[[Record, Malformed], None] | None = None,
    ) -> None:
        self._settings = settings
        self._topics = [settings.topic_prefix + event.topic for event in events]
        self.receives = tuple(events)
        self.needs = tuple(Need("topic", topic, "READ") for topic in self._topics)
        self._on_event = on_event
        self._on_bad = on_bad
        self.caught_up = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and start reading. Raises Transient when the broker cannot be reached."""
        self._consumer = consumer = AIOKafkaConsumer(
            *self._topics,
            **aiokafka_options(self._settings),
            client_id=f"follower-{uuid4().hex[:8]}",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=LARGEST_MESSAGE,
        )
        try:
            await consumer.start()
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(list(consumer.assignment()))
        except KafkaError as error:
            await consumer.stop()
            raise Transient(await explain(self._settings, error)) from error
        if len({partition.topic for partition in ends}) < len(self._topics):
            await consumer.stop()
            raise Transient(f"not all of the topics {self._topics} exist yet")
        self._task = asyncio.create_task(self._follow(consumer, ends), name="follower")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    def check(self) -> None:
        """Raises Transient while behind, or after the task has died."""
        if self._task is not None and self._task.done():
            raise Transient(f"no longer following {self._topics}: {self._task.exception()}")
        if not self.caught_up.is_set():
            raise Transient(f"still reading {self._topics}")

    async def _follow(self, consumer: AIOKafkaConsumer, ends: dict[Any, int]) -> None:
        while True:
            # Positions, not offsets of records: transaction markers and compaction leave holes.
            if not self.caught_up.is_set():
                positions = [await consumer.position(partition) >= end for partition, end in ends.items()]
                if all(positions):
                    self.caught_up.set()
            try:
                batch = await consumer.getmany(timeout_ms=100 if not self.caught_up.is_set() else 1000)
            except KafkaError as error:
                log.warning("follower waits for Kafka", error=str(error))
                await asyncio.sleep(0.5)
                continue
            for partition, messages in batch.items():
                topic = partition.topic.removeprefix(self._settings.topic_prefix)
                for message in messages:
                    await self._hand_over(topic, message)

    async def _hand_over(self, topic: str, message: Any) -> None:
        if message.value is None:
            return
        record = Record(topic, message.key, message.value, message.headers, message.timestamp)
        try:
            envelope = decode(record, self._settings.max_event_bytes)
        except Malformed as error:
            log.warning("unreadable record skipped", topic=topic, offset=message.offset, error=str(error))
            if self._on_bad is not None:
                self._on_bad(record, error)
            return
        if not isinstance(envelope.data, self.receives):
            return
        result = self._on_event(envelope)
        if inspect.isawaitable(result):
            await result
