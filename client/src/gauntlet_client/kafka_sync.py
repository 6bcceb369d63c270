"""Kafka through kafka-python, which is imported when it is used: publishing, and reading with a group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata, TopicPartition

from contracts.cloudevents import Headers
from contracts.kafka_connection import KafkaConnection
from gauntlet_client.kafka_errors import options_of, refused, unreachable
from gauntlet_client.reading import LARGEST_MESSAGE, log

ACKNOWLEDGED_SECONDS = 15
BOOTSTRAP_MS = 5_000
NOT_OURS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


def publish(connection: KafkaConnection, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
    """Send one record, and wait until all replicas have it. Raises Unreachable or ClientError."""
    with errors(connection):
        producer = KafkaProducer(
            **options_of(connection),
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            acks="all",
            max_request_size=LARGEST_MESSAGE,
            max_block_ms=ACKNOWLEDGED_SECONDS * 1000,
            allow_auto_create_topics=False,
        )
        try:
            sent = producer.send(connection.topic_prefix + topic, key=key, value=value, headers=list(headers))
            sent.get(ACKNOWLEDGED_SECONDS)
        finally:
            producer.close(timeout=5)


class Consumer:
    """A member of a group. Raises Unreachable when Kafka cannot be reached."""

    def __init__(self, connection: KafkaConnection, topics: list[str], options: dict[str, Any]) -> None:
        self._connection = connection
        self._latest = options["auto_offset_reset"] == "latest"
        self._assigned: set[TopicPartition] = set()
        with errors(connection):
            self._consumer = KafkaConsumer(
                **options_of(connection),
                **options,
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                allow_auto_create_topics=False,
            )
            self._consumer.subscribe(topics)

    def next(self, milliseconds: int) -> Any | None:
        """Return the next record, or None when none has come in time."""
        with errors(self._connection):
            found = self._consumer.poll(milliseconds, max_records=1)
            if self._latest:
                self._keep_the_beginning(found)
        return next((message for messages in found.values() for message in messages), None)

    def commit(self, offsets: dict[tuple[str, int], int]) -> None:
        """Commit, unless the partitions are another member's by now: it handles the events again."""
        if not offsets:
            return
        wanted = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
        with errors(self._connection):
            try:
                self._consumer.commit(wanted)
            except NOT_OURS as error:
                log.warning("not committed, so events may come again: %s: %s", type(error).__name__, error)

    def close(self) -> None:
        self._consumer.close(timeout_ms=5_000)

    def _keep_the_beginning(self, found: Any) -> None:
        """Commit where a new group begins: else what comes while none of its members runs would not be seen."""
        assigned = self._consumer.assignment()
        for partition in assigned - self._assigned:
            if self._consumer.committed(partition) is None:
                first = min((message.offset for message in found.get(partition, ())), default=None)
                offset = self._consumer.position(partition) if first is None else first
                self.commit({(partition.topic, partition.partition): offset})
        self._assigned = assigned


@contextmanager
def errors(connection: KafkaConnection) -> Iterator[None]:
    """Raise what kafka-python raises as the client's errors."""
    at = connection.kafka_bootstrap_servers
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, OSError) as error:
        raise unreachable(at, error) from error
    except KafkaError as error:
        raise refused(at, error) from error
