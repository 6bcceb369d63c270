"""Topics read again from a time on, and consumer groups that begin again, against the real broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from chassis.errors import Transient
from chassis.settings import ServiceSettings
from chassis.topic_history import forget_offsets, read_since
from chassis.topics import ensure_topics
from contracts import GroundTruthReceived, new_envelope
from contracts.cloudevents import encode
from embedded_kafka import EmbeddedKafka

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
MODELS = ("a", "b", "c")


@pytest.fixture
def settings(kafka: EmbeddedKafka, topic_prefix: str) -> ServiceSettings:
    settings = ServiceSettings(
        _env_file=None, kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, kafka_partitions=3
    )
    ensure_topics(settings)
    return settings


def publish(settings: ServiceSettings, count: int) -> None:
    """One label a minute from BEGIN on, and now and then what is no event."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all")
    for number in range(count):
        event = GroundTruthReceived(model_name=MODELS[number % 3], request_id=f"{number}", label=1)
        key, value, headers = encode(new_envelope(event, source="test"))
        at = int((BEGIN + timedelta(minutes=number)).timestamp() * 1000)
        producer.send(topic(settings), key=key, value=value, headers=headers, timestamp_ms=at)
        producer.send(topic(settings), key=key, value=b"nonsense", timestamp_ms=at)
    producer.flush(30)
    producer.close()


def topic(settings: ServiceSettings) -> str:
    return settings.topic_prefix + GroundTruthReceived.topic


def read(settings: ServiceSettings, since: datetime) -> tuple[datetime, list[int]]:
    with read_since(settings, GroundTruthReceived, since, lambda: False) as history:
        found = [int(item.data.request_id or -1) for batch in history.batches for item in batch]
    return history.begins_at, sorted(found)


def test_events_of_a_time_and_later_are_read_to_the_end(settings: ServiceSettings) -> None:
    assert read(settings, BEGIN) == (BEGIN, [])
    publish(settings, 30)
    assert read(settings, BEGIN - timedelta(days=1)) == (BEGIN - timedelta(days=1), list(range(30)))
    since = BEGIN + timedelta(minutes=11)
    assert read(settings, since) == (since, list(range(11, 30)))
    assert read(settings, BEGIN + timedelta(minutes=50)) == (BEGIN + timedelta(minutes=50), [])


def test_what_the_topic_no_longer_has_is_said(settings: ServiceSettings) -> None:
    publish(settings, 30)
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)
    partitions = [TopicPartition(topic(settings), number) for number in range(3)]
    ends = consumer.end_offsets(partitions)
    consumer.close()
    longest = max(partitions, key=lambda partition: ends[partition])
    admin: Any = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    admin.delete_records({longest: 10})
    admin.close()
    begins_at, found = read(settings, BEGIN)
    assert BEGIN + timedelta(minutes=3) < begins_at < BEGIN + timedelta(minutes=30)
    assert len(found) == 25, "the first five of that partition are gone"


def test_a_group_begins_again_unless_it_is_running(settings: ServiceSettings) -> None:
    publish(settings, 30)
    assert forget_offsets(settings, "drift", [GroundTruthReceived]) == [], "it has read nothing"
    consumer: Any = KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=f"{settings.topic_prefix}drift.{GroundTruthReceived.topic}",
        enable_auto_commit=False,
    )
    partitions = [TopicPartition(topic(settings), number) for number in range(3)]
    consumer.assign(partitions)
    consumer.commit({partition: OffsetAndMetadata(1, "", -1) for partition in partitions})
    assert forget_offsets(settings, "drift", [GroundTruthReceived]) == [GroundTruthReceived.topic]
    consumer.unsubscribe()
    consumer.subscribe([topic(settings)])
    consumer.poll(timeout_ms=10_000)
    consumer.commit({partition: OffsetAndMetadata(1, "", -1) for partition in partitions})
    with pytest.raises(Transient):
        forget_offsets(settings, "drift", [GroundTruthReceived])
    consumer.close()
    assert forget_offsets(settings, "drift", [GroundTruthReceived]) == [GroundTruthReceived.topic]
