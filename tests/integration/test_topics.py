"""Topics are made with the configuration they need; one that exists with another is reported, and left as it is."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownError
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import InvalidRecordError

from chassis.errors import Transient
from chassis.kafka import aiokafka_options
from chassis.settings import ServiceSettings
from chassis.topics import ensure_topics, topic_specs
from contracts import GatePassed
from embedded_kafka import EmbeddedKafka
from support.waiting import eventually


def settings(bootstrap_servers: str, prefix: str = "") -> ServiceSettings:
    return ServiceSettings(kafka_bootstrap_servers=bootstrap_servers, topic_prefix=prefix)


def test_missing_topics_are_made_and_making_them_again_changes_nothing(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    here = settings(kafka.bootstrap_servers, topic_prefix)
    assert ensure_topics(here) == ()
    assert ensure_topics(here) == ()
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    names = {name for name in admin.list_topics() if name.startswith(topic_prefix)}
    assert names == {topic_prefix + spec.name for spec in topic_specs()}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic_prefix + "promoted")
    config = str(admin.describe_configs([resource]))
    admin.close()
    assert "'compact'" in config


def test_a_topic_that_would_forget_promotions_is_reported_with_the_remedy(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic(name=topic_prefix + "promoted", num_partitions=1, replication_factor=1)])
    eventually(lambda: topic_prefix + "promoted" in admin.list_topics())
    admin.close()
    problems = ensure_topics(settings(kafka.bootstrap_servers, topic_prefix))
    said = " ".join(problems)
    assert f"'{topic_prefix}promoted' has cleanup.policy=delete, needed compact" in said
    assert "--add-config cleanup.policy=compact" in said


def test_no_broker_is_transient_and_says_what_to_check() -> None:
    with pytest.raises(Transient, match=r"cannot reach Kafka at 127\.0\.0\.1:1 .*KAFKA_BOOTSTRAP_SERVERS"):
        ensure_topics(settings("127.0.0.1:1"))


def test_a_record_without_a_key_on_a_compacted_topic_is_refused_as_the_page_of_events_says(
    kafka: EmbeddedKafka, topic_prefix: str
) -> None:
    """Error 87, and what each client makes of it; docs/reference/events.md names them."""
    here = settings(kafka.bootstrap_servers, topic_prefix)
    ensure_topics(here)
    topic = topic_prefix + GatePassed.topic
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True)
    try:
        for key in (None, b"m"):
            with pytest.raises(InvalidRecordError, match="Error 87"):
                producer.send(topic, key=key, value=b"{}").get(30)
    finally:
        producer.close(timeout=1)

    async def send(key: bytes | None) -> None:
        other = AIOKafkaProducer(**aiokafka_options(here), enable_idempotence=True)
        await other.start()
        try:
            await other.send_and_wait(topic, key=key, value=b"{}")
        finally:
            await other.stop()

    with pytest.raises(UnknownError):
        asyncio.run(send(None))
    asyncio.run(send(b"m"))
