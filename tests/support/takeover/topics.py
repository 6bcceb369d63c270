"""Every record of a broker as lines of JSON, and back: same partitions, same offsets, same bytes and times."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

LARGEST = 8 * 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """One record; `topic` is without prefix, `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def line(self) -> str:
        texts = {"key": _text(self.key), "value": _text(self.value)}
        headers = [[name, _text(value)] for name, value in self.headers]
        return json.dumps(asdict(self) | texts | {"headers": headers}, ensure_ascii=False)

    @classmethod
    def of(cls, line: str) -> Kept:
        found = json.loads(line)
        headers = tuple((name, _bytes(value)) for name, value in found["headers"])
        texts = {"key": _bytes(found["key"]), "value": _bytes(found["value"])}
        return cls(**(found | texts | {"headers": headers}))


def read(bootstrap_servers: str, prefix: str = "") -> list[Kept]:
    """All topics whose names begin with `prefix`, whole, in the order of their partitions."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=LARGEST
    )
    try:
        topics = sorted(name for name in consumer.topics() if name.startswith(prefix) and not name.startswith("__"))
        partitions = [TopicPartition(name, n) for name in topics for n in consumer.partitions_for_topic(name) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, found = consumer.end_offsets(partitions), []
        while any(consumer.position(each) < ends[each] for each in partitions):
            for batch in consumer.poll(timeout_ms=200).values():
                found += [_kept(each, prefix) for each in batch]
    finally:
        consumer.close()
    return sorted(found, key=lambda each: (each.topic, each.partition, each.offset))


def publish(bootstrap_servers: str, prefix: str, records: Iterable[Kept]) -> None:
    """Onto topics that are there and empty. Raises AssertionError where an offset is not the recorded one."""
    records = list(records)
    _keep_for_ever(bootstrap_servers, {prefix + each.topic for each in records})
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", max_request_size=LARGEST)
    try:
        sent = [
            producer.send(
                prefix + each.topic,
                key=each.key,
                value=each.value,
                headers=list(each.headers),
                partition=each.partition,
                timestamp_ms=each.timestamp,
            )
            for each in records
        ]
        found = [future.get(30).offset for future in sent]
    finally:
        producer.close()
    assert found == [each.offset for each in records], "dead letters are named by their offsets"


def groups(bootstrap_servers: str, prefix: str = "") -> dict[str, int]:
    """The consumer groups whose names begin with `prefix`, without it, and how many records each has yet to commit."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    try:
        names = sorted(each["group_id"] for each in admin.list_groups() if each["group_id"].startswith(prefix))
        return {name.removeprefix(prefix): _behind(admin, consumer, prefix, name) for name in names}
    finally:
        consumer.close()
        admin.close()


def _behind(admin: Any, consumer: Any, prefix: str, group: str) -> int:
    """`<prefix><service>.<topic>` is how a group is named."""
    topic = prefix + group.removeprefix(prefix).partition(".")[2]
    ends = consumer.end_offsets([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()])
    committed = admin.list_group_offsets(group)[group]
    return sum(end - (committed[place].offset if place in committed else 0) for place, end in ends.items())


def _keep_for_ever(bootstrap_servers: str, topics: set[str]) -> None:
    """The records are older than what a topic retains, soon enough."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        configs = {"retention.ms": "-1"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs) for name in sorted(topics)])
    finally:
        admin.close()


def _kept(record: Any, prefix: str) -> Kept:
    topic, place = record.topic.removeprefix(prefix), (record.partition, record.offset, record.timestamp)
    return Kept(topic, *place, record.key, record.value, tuple(record.headers))


def _text(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value or b"").decode()}


def _bytes(value: Any) -> bytes | None:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else None if value is None else value.encode()
