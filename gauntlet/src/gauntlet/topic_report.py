"""The topics of a broker: partitions, configuration, offsets, and deviations from the required state."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from chassis.kafka import kafka_python_options
from chassis.topics import misconfigured, topic_specs
from gauntlet.broker import BOOTSTRAP_MS, Broker


def report(broker: Broker) -> dict[str, Any]:
    """Return every topic under the stack's prefix (and the missing ones of ours), with `problems`, a sentence each."""
    prefix = broker.settings.topic_prefix
    specs = {prefix + spec.name: spec for spec in topic_specs()}
    try:
        with (
            closing(KafkaAdminClient(**kafka_python_options(broker.settings, BOOTSTRAP_MS))) as admin,
            closing(broker.consumer()) as consumer,
        ):
            topics = admin.list_topics()
            existing = sorted(name for name in topics if name.startswith(prefix) and not name.startswith("__"))
            configurations = _configurations(admin, existing)
            rows = [_row(consumer, name, configurations[name], name in specs) for name in existing]
    except KafkaError as error:
        raise broker.address.silent(str(error) or type(error).__name__) from error
    missing = [name for name in specs if name not in existing]
    present = [spec for name, spec in specs.items() if name in existing]
    problems = [
        *(f"topic {name!r} is missing: the services make it when they start" for name in missing),
        *misconfigured(present, configurations, broker.settings),
    ]
    rows += [{"name": name, "partitions": None, "expected": True} for name in missing]
    return {"kafka": broker.address.at, "topics": rows, "problems": problems}


def _configurations(admin: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    # Without "all" the response omits defaults, and a topic that should be compacted but is not looks fine.
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: entry["value"] for key, entry in settings.items()} for name, settings in found.items()}


def _row(consumer: Any, name: str, configuration: dict[str, str], expected: bool) -> dict[str, Any]:
    partitions = [TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name) or ())]
    first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    return {
        "name": name,
        "partitions": len(partitions),
        "expected": expected,
        "cleanup_policy": configuration["cleanup.policy"],
        "retention_ms": int(configuration["retention.ms"]),
        "max_message_bytes": int(configuration["max.message.bytes"]),
        # An upper bound on compacted topics: compaction and transactions leave holes between the offsets.
        "messages": sum(end[partition] - first[partition] for partition in partitions),
        "end_offsets": [end[partition] for partition in partitions],
    }
