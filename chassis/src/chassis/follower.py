"""A follower: reads compacted topics from the beginning, without a consumer group, and keeps following them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chassis import tracing
from chassis.errors import Malformed, Transient
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options
from chassis.kafka_access import Need
from chassis.kafka_problem import explain
from chassis.settings import ServiceSettings
from chassis.signing.dsse import NotVerified, Verifier, Why
from chassis.signing.event_signature import verify_event
from chassis.signing.refusals import REFUSED, Refusals
from chassis.telemetry import get_logger
from contracts import Envelope, Event
from contracts.cloudevents import Record, decode

log = get_logger(__name__)


class RefusedRecord(NamedTuple):
    """A record that is not believed."""

    record: Record
    partition: int
    offset: int
    why: Why
    reason: str
    envelope: Envelope[Any] | None
    """What it claims to be; None where it is no event: a tombstone, or a value that cannot be read."""

    @property
    def model_name(self) -> str:
        """The key: the record of that model that compaction keeps, if it is the last."""
        return (self.record.key or b"").decode(errors="replace")


class RecordFollower:
    """A Part that reads topics whole and goes on: the records of `topics`, which are named without prefix.

    `is_live` is False while it reads what was there, and `caught_up` is set once it has. What is done with a record is
    in `_hand_over`, what is done when all there was has been read, at the start and after `read_again`, in `_live`.
    """

    name = "follower"

    def __init__(self, settings: ServiceSettings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = [settings.topic_prefix + topic for topic in topics]
        self.needs = tuple(Need("topic", topic, "READ") for topic in self._topics)
        self._again = False
        self.is_live = False
        """It passes on what arrives; before, what was there."""
        self.caught_up = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def _hand_over(self, topic: str, message: Any) -> None:
        raise NotImplementedError

    async def _live(self) -> None:
        return None

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

    def read_again(self) -> None:
        """Read the topics from their beginning, as when other keys are trusted than before. Call it on the loop."""
        self._again = True

    async def _follow(self, consumer: AIOKafkaConsumer, ends: dict[Any, int]) -> None:
        while True:
            try:
                if self._again:
                    ends = await consumer.end_offsets(list(consumer.assignment()))
                    await consumer.seek_to_beginning()
                    self._again = self.is_live = False
                # Positions, not offsets of records: transaction markers and compaction leave holes.
                if not self.is_live:
                    positions = [await consumer.position(partition) >= end for partition, end in ends.items()]
                    if all(positions):
                        self.is_live = True
                        await self._live()
                        self.caught_up.set()
                batch = await consumer.getmany(timeout_ms=1000 if self.is_live else 100)
            except KafkaError as error:
                log.warning("follower waits for Kafka", error=str(error))
                await asyncio.sleep(0.5)
                continue
            for partition, messages in batch.items():
                topic = partition.topic.removeprefix(self._settings.topic_prefix)
                for message in messages:
                    await self._hand_over(topic, message)


class Follower(RecordFollower):
    """A Part. `caught_up` is set once every record present at the start has been passed to `on_event`.

    Tombstones are skipped. A record that is not a valid event is logged and passed to `on_bad`: without a group there
    is no offset to hold back, and the newest valid record of a model remains authoritative.

    `keys`: only what one of them signed is passed to `on_event`; anything else is counted, logged and passed to
    `on_refused`. A tombstone and a record that is no event are passed to `on_refused` without keys, too: they may be
    what compaction keeps. `admit` judges what is verified: it returns whether the event is passed on, and raises
    NotVerified for one that is refused as well. `on_caught_up` is called whenever all there was has been read: at the
    start, and after `read_again`. All four may be asynchronous.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        events: Sequence[type[Event]],
        on_event: Callable[[Envelope[Any]], Any],
        on_bad: Callable[[Record, Malformed], None] | None = None,
        *,
        keys: Verifier | None = None,
        on_refused: Callable[[RefusedRecord], Any] | None = None,
        admit: Callable[[Record, Envelope[Any]], Any] | None = None,
        on_caught_up: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(settings, [event.topic for event in events])
        self.receives = tuple(events)
        self._on_event = on_event
        self._on_bad = on_bad
        self._keys = keys
        self._on_refused = on_refused
        self._admit = admit
        self._on_caught_up = on_caught_up
        self._refusals = Refusals()

    async def _live(self) -> None:
        if self._on_caught_up is not None:
            await _awaited(self._on_caught_up())

    async def _hand_over(self, topic: str, message: Any) -> None:
        record = Record(topic, message.key, message.value, message.headers, message.timestamp)
        if record.value is None:
            await self._refuse(record, message, Why.TOMBSTONE, "a tombstone: it has no value")
            return
        try:
            envelope = decode(record, self._settings.max_event_bytes)
        except Malformed as error:
            if self._keys is None:
                log.warning("unreadable record skipped", topic=topic, offset=message.offset, error=str(error))
            if self._on_bad is not None:
                self._on_bad(record, error)
            await self._refuse(record, message, Why.UNREADABLE, str(error))
            return
        if not isinstance(envelope.data, self.receives):
            return
        try:
            if self._keys is not None:
                await asyncio.sleep(0)  # a signature takes a part of a millisecond, and there may be a flood of them
                verify_event(record, self._keys)
            if self._admit is not None and not await _awaited(self._admit(record, envelope)):
                return
        except NotVerified as error:
            await self._refuse(record, message, error.why, str(error), envelope)
            return
        if not self.is_live:  # the past was traced when it happened
            await _awaited(self._on_event(envelope))
            return
        where = {"partition": message.partition, "offset": message.offset}
        with tracing.processing(envelope, message.topic, **where):
            await _awaited(self._on_event(envelope))

    async def _refuse(
        self, record: Record, message: Any, why: Why, reason: str, envelope: Envelope[Any] | None = None
    ) -> None:
        refused = RefusedRecord(record, message.partition, message.offset, why, reason, envelope)
        if self._keys is not None:
            self._count(refused)
        if self._on_refused is not None:
            await _awaited(self._on_refused(refused))

    def _count(self, refused: RefusedRecord) -> None:
        REFUSED.labels(refused.record.topic, "live" if self.is_live else "history", refused.why).inc()
        self._refusals.log(
            topic=refused.record.topic,
            partition=refused.partition,
            offset=refused.offset,
            model_name=refused.model_name[:200],
            event_id=refused.envelope.id if refused.envelope else None,
            why=refused.why.value,
            reason=refused.reason,
        )


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
