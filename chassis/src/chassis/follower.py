"""A follower: reads compacted topics from the beginning, without a consumer group, and keeps following them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from chassis.cloudevents import Record, decode
from chassis.errors import Malformed, Transient
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options
from chassis.kafka_access import Need
from chassis.kafka_problem import explain
from chassis.settings import ServiceSettings
from chassis.signing.dsse import NotVerified, Verifier
from chassis.signing.event_signature import verify_event
from chassis.telemetry import get_logger
from contracts import Envelope, Event

log = get_logger(__name__)


REFUSED = Counter(
    "gauntlet_events_refused_total",
    "With trusted keys: records of signed topics that were not believed",
    ["topic", "when"],
)
"""`when`: "history" for what was on the topic before the service started, "live" for what arrives since."""


class Refused(NamedTuple):
    """A record that is not believed."""

    record: Record
    partition: int
    offset: int
    reason: str
    envelope: Envelope[Any] | None
    """What it claims to be; None where it is no event: a tombstone, or a value that cannot be read."""

    @property
    def model_name(self) -> str:
        """The key: the record of that model that compaction keeps, if it is the last."""
        return (self.record.key or b"").decode(errors="replace")


class Follower:
    """A Part. `caught_up` is set once every record present at the start has been passed to `on_event`.

    Tombstones are skipped. A record that is not a valid event is logged and passed to `on_bad`: without a group there
    is no offset to hold back, and the newest valid record of a model remains authoritative.

    `keys`: only what one of them signed is passed to `on_event`; anything else is counted, logged and passed to
    `on_refused`. A tombstone and a record that is no event are passed to `on_refused` without keys, too: they may be
    what compaction keeps. `on_event` and `on_refused` may be asynchronous.
    """

    name = "follower"

    def __init__(
        self,
        settings: ServiceSettings,
        events: Sequence[type[Event]],
        on_event: Callable[[Envelope[Any]], Any],
        on_bad: Callable[[Record, Malformed], None] | None = None,
        *,
        keys: Verifier | None = None,
        on_refused: Callable[[Refused], Any] | None = None,
    ) -> None:
        self._settings = settings
        self._topics = [settings.topic_prefix + event.topic for event in events]
        self.receives = tuple(events)
        self.needs = tuple(Need("topic", topic, "READ") for topic in self._topics)
        self._on_event = on_event
        self._on_bad = on_bad
        self._keys = keys
        self._on_refused = on_refused
        self.caught_up = asyncio.Event()
        self.record: Record | None = None
        """Of the event that is being passed on."""
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
        record = Record(topic, message.key, message.value, message.headers, message.timestamp)
        if record.value is None:
            await self._refuse(record, message, "a tombstone: it has no value")
            return
        try:
            envelope = decode(record, self._settings.max_event_bytes)
        except Malformed as error:
            log.warning("unreadable record skipped", topic=topic, offset=message.offset, error=str(error))
            if self._on_bad is not None:
                self._on_bad(record, error)
            await self._refuse(record, message, str(error))
            return
        if not isinstance(envelope.data, self.receives):
            return
        if self._keys is not None:
            try:
                verify_event(record, self._keys)
            except NotVerified as error:
                found = {"topic": topic, "partition": message.partition, "offset": message.offset}
                claimed = {"model_name": envelope.model_name, "event_id": envelope.id}
                log.warning("event not believed", **found, **claimed, error=str(error))
                await self._refuse(record, message, str(error), envelope)
                return
        self.record = record
        await _called(self._on_event, envelope)

    async def _refuse(self, record: Record, message: Any, reason: str, envelope: Envelope[Any] | None = None) -> None:
        if self._keys is not None:
            REFUSED.labels(record.topic, "live" if self.caught_up.is_set() else "history").inc()
        if self._on_refused is not None:
            await _called(self._on_refused, Refused(record, message.partition, message.offset, reason, envelope))


async def _called(function: Callable[[Any], Any], value: Any) -> None:
    result = function(value)
    if inspect.isawaitable(result):
        await result
