"""Kafka client of the commands: acknowledged publishing, reading a whole topic, following topics."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from chassis.kafka import LARGEST_MESSAGE, kafka_python_options
from chassis.kafka_access import Need, Operation, is_secured, missing, not_allowed
from chassis.kafka_problem import refusal
from contracts import Envelope, Event, ModelRegistered, TrainingRequested
from contracts.cloudevents import Headers, Record, encode
from gauntlet.endpoints import Address, kafka
from gauntlet.errors import CliError

PUBLISHED: tuple[type[Event], ...] = (TrainingRequested, ModelRegistered)
"""What commands publish; `gauntlet acls` allows it."""
KNOCK_SECONDS = 3
BOOTSTRAP_MS = 5_000
ACKNOWLEDGED_SECONDS = 15
POLL_MS = 200
NEW_TOPIC_SECONDS = 2.0


class Received(NamedTuple):
    """A record and its position; `record.topic` is without prefix."""

    record: Record
    partition: int
    offset: int


class Broker:
    """Connects to the stack's Kafka with kafka-python. Raises CliError when it does not respond."""

    def __init__(self, data_dir: Path, bootstrap_servers: str | None) -> None:
        self.settings, self.address = kafka(data_dir, bootstrap_servers)
        self._knock()
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # failures are reported once, by us

    def publish(self, envelope: Envelope[Any]) -> None:
        """Send an event and wait until all replicas have stored it."""
        assert isinstance(envelope.data, PUBLISHED), "`gauntlet acls` must know of it"
        key, value, headers = encode(envelope)
        self.send([(envelope.data.topic, key, value, headers)])

    def send(self, messages: Sequence[tuple[str, bytes | None, bytes | None, Headers]]) -> None:
        """Send (topic without prefix, key, value, headers) one after another, each acknowledged before the next."""
        self.require("WRITE", [topic for topic, *_ in messages])
        with _kafka_errors(self.address):
            producer = KafkaProducer(
                **self._options(),
                acks="all",
                max_request_size=LARGEST_MESSAGE,
                max_block_ms=ACKNOWLEDGED_SECONDS * 1000,
                allow_auto_create_topics=False,
            )
            try:
                for topic, key, value, headers in messages:
                    sent = producer.send(
                        self.settings.topic_prefix + topic, key=key, value=value, headers=list(headers)
                    )
                    sent.get(ACKNOWLEDGED_SECONDS)
            finally:
                producer.close(timeout=5)

    def require(self, operation: Operation, topics: Sequence[str]) -> None:
        """Raise CliError when the broker does not allow the operation on all of these topics, without prefix.

        Clients would say that they may not be idempotent, or that there is no such topic.
        """
        if not is_secured(self.settings):
            return
        needs = [Need("topic", self.settings.topic_prefix + topic, operation) for topic in dict.fromkeys(topics)]
        with (
            _kafka_errors(self.address),
            closing(KafkaAdminClient(**self._options())) as admin,
        ):
            lacking = missing(admin, needs)
        if lacking:
            raise CliError(not_allowed(self.settings, lacking))

    def read_whole(self, topic: str) -> list[Received]:
        """Return everything that `topic` holds now, tombstones included, in the order of each partition."""
        with Following(self, [topic], from_beginning=True) as following:
            return list(following.history())

    def consumer(self) -> KafkaConsumer:
        """Return a consumer without a group: reading leaves no state on the broker."""
        with _kafka_errors(self.address):
            return KafkaConsumer(
                **self._options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=LARGEST_MESSAGE,
                allow_auto_create_topics=False,
            )

    def _knock(self) -> None:
        """Fail at once, with the real reason, when nothing listens: a Kafka client would retry for seconds."""
        problem: OSError | None = None
        for server in self.settings.kafka_bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
                if refused := refusal(self.settings):
                    raise CliError(refused)
                return
            except ValueError:
                raise CliError(
                    f"{server!r} is not HOST:PORT", "Check --kafka or KAFKA_BOOTSTRAP_SERVERS, such as 127.0.0.1:9092."
                ) from None
            except OSError as error:
                problem = error
        raise self.address.silent(problem.strerror or str(problem) if problem else "no address")

    def _options(self) -> dict[str, Any]:
        return kafka_python_options(self.settings, BOOTSTRAP_MS)


class Following:
    """Topics read by one consumer. On entry the positions are fixed: what is published afterwards is seen."""

    def __init__(self, broker: Broker, topics: Sequence[str], *, from_beginning: bool) -> None:
        self._broker = broker
        self._prefix = broker.settings.topic_prefix
        self._wanted = topics
        self._from_beginning = from_beginning
        self.missing: list[str] = []

    def __enter__(self) -> Following:
        self._broker.require("READ", self._wanted)
        self._consumer = self._broker.consumer()
        try:
            with _kafka_errors(self._broker.address):
                self._assign()
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._consumer.close()

    def history(self) -> Iterator[Received]:
        """Yield the records that existed on entry, and end."""
        while not self._at_end():
            yield from self._poll()

    def news(self) -> Iterator[Received]:
        """Yield new records, indefinitely."""
        while True:
            yield from self._poll()

    def _assign(self) -> None:
        deadline = time.monotonic() + NEW_TOPIC_SECONDS
        while self._look() and time.monotonic() < deadline:
            time.sleep(0.1)  # the metadata of a new topic may not have spread yet
        if len(self.missing) == len(self._wanted):
            raise CliError(
                f"Kafka at {self._broker.address.at} has no topic {self._prefix + self._wanted[0]!r}",
                "The services make the topics when they start (`gauntlet up`). Is TOPIC_PREFIX the stack's?",
            )
        partitions = [
            TopicPartition(self._prefix + topic, number)
            for topic in self._wanted
            if topic not in self.missing
            for number in sorted(self._consumer.partitions_for_topic(self._prefix + topic) or ())
        ]
        self._consumer.assign(partitions)
        self._ends: dict[TopicPartition, int] = self._consumer.end_offsets(partitions)
        for partition, end in self._ends.items():
            if self._from_beginning:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, end)

    def _look(self) -> list[str]:
        existing = self._consumer.topics()
        self.missing = [topic for topic in self._wanted if self._prefix + topic not in existing]
        return self.missing

    def _at_end(self) -> bool:
        # Positions, not offsets of records: transaction markers and compaction leave holes.
        with _kafka_errors(self._broker.address):
            return all(self._consumer.position(partition) >= end for partition, end in self._ends.items())

    def _poll(self) -> Iterator[Received]:
        with _kafka_errors(self._broker.address):
            batches = self._consumer.poll(POLL_MS)
        for messages in batches.values():
            for message in messages:
                topic = message.topic.removeprefix(self._prefix)
                record = Record(topic, message.key, message.value, tuple(message.headers), message.timestamp)
                yield Received(record, message.partition, message.offset)


@contextmanager
def _kafka_errors(address: Address) -> Iterator[None]:
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        if "bootstrap" in text.lower():  # the same message for a wrong address, password or certificate
            text = "no connection within 5 s; the address, the security protocol, the password or the CA may be wrong"
        raise address.silent(text) from error
    except KafkaError as error:
        raise CliError(f"Kafka at {address.at} refuses: {error or type(error).__name__}") from error
