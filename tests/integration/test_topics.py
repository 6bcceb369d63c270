"""Topics are made with the configuration they need; one that exists with another is reported, and left as it is."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from chassis.errors import Transient
from chassis.settings import ServiceSettings
from chassis.topics import ensure_topics, topic_specs
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
