"""Records of a topic that were read before, read again: without a consumer group, from a time on. And groups, reset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from chassis.errors import Malformed, Transient
from chassis.kafka import LARGEST_MESSAGE, kafka_python_options
from chassis.kafka_problem import explained
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from contracts import Envelope, Event
from contracts.cloudevents import Record, decode

BATCH_RECORDS = 5_000

log = get_logger(__name__)


@dataclass(frozen=True)
class History:
    """Events in batches, up to the end of the topic when the reading began. `begins_at`: later than asked for when the
    topic no longer has what was before it."""

    begins_at: datetime
    batches: Iterator[list[Envelope[Any]]]


@contextmanager
def read_since(
    settings: ServiceSettings, event: type[Event], since: datetime, cancelled: Callable[[], bool]
) -> Iterator[History]:
    """Read the events of one type that were published at `since` or later. A record that is no such event is skipped.

    Raises Transient when the broker cannot be reached.
    """
    with _consumer(settings) as consumer:
        partitions = _partitions(consumer, settings, event)
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        begins_at = max((_seek(consumer, partition, since) for partition in partitions), default=since)
        yield History(begins_at, _batches(consumer, settings, event, ends, cancelled))


def forget_offsets(settings: ServiceSettings, service: str, events: Sequence[type[Event]]) -> list[str]:
    """Let the service's groups of these events begin at the start of their topics; return the topics.

    A group that has read nothing yet is left alone. Raises Transient when the broker cannot be reached, and while
    another process of the group is running.
    """
    rewound: list[str] = []
    for event in events:
        with _consumer(settings, f"{settings.topic_prefix}{service}.{event.topic}") as consumer:
            partitions = _partitions(consumer, settings, event)
            consumer.assign(partitions)
            read = [partition for partition in partitions if consumer.committed(partition)]
            if read:
                consumer.commit({partition: OffsetAndMetadata(0, "", -1) for partition in read})
                rewound.append(event.topic)
    return rewound


@contextmanager
def _consumer(settings: ServiceSettings, group_id: str | None = None) -> Iterator[Any]:
    consumer = None
    try:
        consumer = KafkaConsumer(
            **kafka_python_options(settings),
            group_id=group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=LARGEST_MESSAGE,
        )
        yield consumer
    except KafkaError as error:
        raise Transient(explained(settings, error)) from error
    finally:
        if consumer is not None:
            consumer.close(autocommit=False)


def _partitions(consumer: Any, settings: ServiceSettings, event: type[Event]) -> list[TopicPartition]:
    topic = settings.topic_prefix + event.topic
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise Transient(f"topic {topic!r} does not exist yet")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _seek(consumer: Any, partition: TopicPartition, since: datetime) -> datetime:
    """Go to the first record of `since` or later; return from when on all records are there."""
    found = consumer.offsets_for_times({partition: int(since.timestamp() * 1000)})[partition]
    if found is None:
        consumer.seek_to_end(partition)
        return since
    consumer.seek(partition, found.offset)
    first = consumer.beginning_offsets([partition])[partition]
    is_cut = 0 < first == found.offset
    return max(since, datetime.fromtimestamp(found.timestamp / 1000, UTC)) if is_cut else since


def _batches(
    consumer: Any,
    settings: ServiceSettings,
    event: type[Event],
    ends: dict[TopicPartition, int],
    cancelled: Callable[[], bool],
) -> Iterator[list[Envelope[Any]]]:
    # Positions, not offsets of records: transaction markers and compaction leave holes.
    while not cancelled() and any(consumer.position(partition) < end for partition, end in ends.items()):
        batch: list[Envelope[Any]] = []
        for messages in consumer.poll(timeout_ms=500, max_records=BATCH_RECORDS).values():
            for message in messages:
                record = Record(event.topic, message.key, message.value, tuple(message.headers), message.timestamp)
                try:
                    envelope = decode(record, settings.max_event_bytes)
                except Malformed as error:
                    log.info("unreadable record skipped", topic=event.topic, offset=message.offset, error=str(error))
                    continue
                if isinstance(envelope.data, event):
                    batch.append(envelope)
        if batch:
            yield batch
