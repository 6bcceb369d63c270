"""An independent Kafka client (kafka-python) for tests: publishes events, or raw bytes, and reads topics whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from chassis.cloudevents import Record, decode, encode
from chassis.dead_letters import DeadLetter
from chassis.errors import Malformed
from chassis.topics import DEAD_LETTERS
from contracts import Envelope, Event, new_envelope

LIMIT = 8 * 1024 * 1024


@dataclass
class BusClient:
    bootstrap_servers: str
    prefix: str
    _producer: Any = field(default=None, init=False)

    def publish(self, event: Event, *, event_id: str | None = None, times: int = 1) -> Envelope[Any]:
        envelope = new_envelope(event, source="test", event_id=event_id)
        for _ in range(times):
            self.send(envelope)
        return envelope

    def send(self, envelope: Envelope[Any]) -> None:
        key, value, headers = encode(envelope)
        self.raw(envelope.data.topic, key, value, headers)

    def raw(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self.bootstrap_servers, acks="all", max_request_size=LIMIT, linger_ms=0
            )
        self._producer.send(self.prefix + topic, key=key, value=value, headers=headers or []).get(30)

    def records(self, topic: str) -> list[Any]:
        """Everything on `topic` from the beginning to its present end."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=LIMIT,
        )
        try:
            partitions = [
                TopicPartition(self.prefix + topic, number)
                for number in consumer.partitions_for_topic(self.prefix + topic) or ()
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for batch in consumer.poll(timeout_ms=200).values():
                    found.extend(batch)
            return found
        finally:
            consumer.close()

    def events(self, topic: str) -> list[Envelope[Any]]:
        """The readable events on `topic`, in the order of each model."""
        found = []
        for record in self.records(topic):
            try:
                found.append(decode(Record(topic, record.key, record.value, record.headers, record.timestamp), LIMIT))
            except Malformed:
                continue
        return found

    def dead_letters(self) -> dict[str, DeadLetter]:
        """Open letters by id: the newest record a key counts, a tombstone closes."""
        letters: dict[str, DeadLetter] = {}
        for record in self.records(DEAD_LETTERS):
            if record.value is None:
                letters.pop(record.key.decode(), None)
            else:
                letters[record.key.decode()] = DeadLetter.decode(record.value, record.headers)
        return letters

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close()
