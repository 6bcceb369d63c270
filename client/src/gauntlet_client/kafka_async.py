"""Kafka through aiokafka, which is imported when it is used: publishing, and reading with a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from contracts.cloudevents import Headers
from contracts.kafka_connection import KafkaConnection
from gauntlet_client.kafka_errors import options_of, refused, unreachable
from gauntlet_client.reading import LARGEST_MESSAGE, log

NOT_OURS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


async def publish(connection: KafkaConnection, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
    """Send one record, and wait until all replicas have it. Raises Unreachable or ClientError."""
    async with errors(connection):
        producer = AIOKafkaProducer(**options_of(connection), acks="all", max_request_size=LARGEST_MESSAGE)
        try:
            await producer.start()
            await producer.send_and_wait(connection.topic_prefix + topic, key=key, value=value, headers=list(headers))
        finally:
            await producer.stop()


class Consumer:
    """A member of a group. `start` raises Unreachable when Kafka cannot be reached."""

    def __init__(self, connection: KafkaConnection, topics: list[str], options: dict[str, Any]) -> None:
        self._connection, self._topics = connection, topics
        self._latest = options["auto_offset_reset"] == "latest"
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._consumer = AIOKafkaConsumer(**options_of(connection), **options)

    async def start(self) -> None:
        self._consumer.subscribe(self._topics)
        async with errors(self._connection):
            try:
                await self._consumer.start()
            except BaseException:
                await self._consumer.stop()
                raise

    async def next(self, milliseconds: int) -> Any | None:
        """Return the next record, or None when none has come in time."""
        async with errors(self._connection):
            found = await self._consumer.getmany(timeout_ms=milliseconds, max_records=1)
            if self._latest:
                await self._keep_the_beginning(found)
        return next((message for messages in found.values() for message in messages), None)

    async def commit(self, offsets: dict[tuple[str, int], int]) -> None:
        """Commit, unless the partitions are another member's by now: it handles the events again."""
        if not offsets:
            return
        async with errors(self._connection):
            try:
                await self._consumer.commit({TopicPartition(*place): offset for place, offset in offsets.items()})
            except NOT_OURS as error:
                log.warning("not committed, so events may come again: %s: %s", type(error).__name__, error)

    async def close(self) -> None:
        await self._consumer.stop()

    async def _keep_the_beginning(self, found: Any) -> None:
        """Commit where a new group begins: else what comes while none of its members runs would not be seen."""
        assigned = frozenset(self._consumer.assignment())
        for partition in assigned - self._assigned:
            if await self._consumer.committed(partition) is None:
                first = min((message.offset for message in found.get(partition, ())), default=None)
                offset = await self._consumer.position(partition) if first is None else first
                await self.commit({(partition.topic, partition.partition): offset})
        self._assigned = assigned


@asynccontextmanager
async def errors(connection: KafkaConnection) -> AsyncIterator[None]:
    """Raise what aiokafka raises as the client's errors."""
    at = connection.kafka_bootstrap_servers
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, OSError) as error:
        raise unreachable(at, error) from error
    except KafkaError as error:
        raise refused(at, error) from error
