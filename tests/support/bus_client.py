"""An independent Kafka client (kafka-python) for tests: publishes events, or raw bytes, and reads topics whole."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from chassis.errors import Malformed
from chassis.settings import KafkaSettings
from chassis.topics import DEAD_LETTERS, ensure_topics
from contracts import Envelope, Event, new_envelope
from contracts.cloudevents import Record, decode, encode
from contracts.dead_letters import DeadLetter
from support.processes import PARTITIONS

LIMIT = 8 * 1024 * 1024


@dataclass
class BusClient:
    bootstrap_servers: str
    prefix: str
    _producer: Any = field(default=None, init=False)
    _readers: dict[str, tuple[Any, list[Any]]] = field(default_factory=dict, init=False)
    _decoded: dict[str, list[Envelope[Any] | None]] = field(default_factory=dict, init=False)
    _reading: Any = field(default_factory=threading.Lock, init=False)

    def ensure_topics(self) -> None:
        ensure_topics(
            KafkaSettings(
                kafka_bootstrap_servers=self.bootstrap_servers, topic_prefix=self.prefix, kafka_partitions=PARTITIONS
            )
        )

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
        """Everything on `topic` from the beginning to its present end.

        A consumer a topic reads on where it was: one that is made anew at each look costs most of the time of a test.
        """
        with self._reading:
            if topic not in self._readers:
                consumer = self._consumer()
                numbers = consumer.partitions_for_topic(self.prefix + topic)
                if not numbers:
                    consumer.close()
                    return []
                consumer.assign([TopicPartition(self.prefix + topic, number) for number in numbers])
                self._readers[topic] = (consumer, [])
            consumer, found = self._readers[topic]
            ends = consumer.end_offsets(list(consumer.assignment()))
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                for batch in consumer.poll(timeout_ms=200).values():
                    found.extend(batch)
            return list(found)

    def _consumer(self) -> Any:
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=LIMIT,
        )

    def events(self, topic: str) -> list[Envelope[Any]]:
        """The readable events on `topic`, in the order of each model. Each record is decoded once, however often."""
        records, found = self.records(topic), self._decoded.setdefault(topic, [])
        for record in records[len(found) :]:
            try:
                found.append(decode(Record(topic, record.key, record.value, record.headers, record.timestamp), LIMIT))
            except Malformed:
                found.append(None)
        return [event for event in found if event is not None]

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
        while self._readers:
            self._readers.popitem()[1][0].close()
