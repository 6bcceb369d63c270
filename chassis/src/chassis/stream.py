"""A stream of messages, handled in batches: read, gathered, and given to a handler in one transaction.

With librdkafka: of the other client a message takes more than all that is done with it here. Its callbacks run in the
thread that reads, so a rebalance never runs while a batch is being handled; during a backoff the batch is let go.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from prometheus_client import Counter

from chassis.database import Database
from chassis.delivery import DEAD, RETRIES, DeadLetterWriter
from chassis.errors import Permanent, Transient
from chassis.kafka import LARGEST_MESSAGE, confluent_options
from chassis.settings import ServiceSettings
from chassis.stream_lag import Lag
from chassis.stream_messages import Received, headers_of, is_good, received
from chassis.telemetry import get_logger
from contracts.cloudevents import Record
from contracts.redelivery import UNEXPECTED_ATTEMPTS, backoff_seconds, error_text

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from sqlalchemy.orm import Session

HANDLED = Counter("gauntlet_events_handled_total", "Events whose effect was committed", ["type"])

BATCH_RECORDS = 5_000
POLL_SECONDS = 0.2
AGAIN_SECONDS = 1.0

Read = Callable[[Record, int], Any]
"""Returns what a message says, from its record and the largest size that is handled; raises as `cloudevents.decode`."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Stream:
    """How the messages of topics are handled in batches: each is read, they are gathered, and take effect as one."""

    name: str
    """Of its consumer group, and of its thread."""
    counted_as: str
    """Its label `type` of the events whose effect was committed."""
    topics: tuple[str, ...]
    """Without prefix."""
    read: Read
    gather: Callable[[Sequence[Any]], Any]
    handler: Callable[[Session, Any], None]


Bad = tuple[Received, str]
"""A message, as a dead letter is written of it, and the reason."""


class StreamConsumer:
    """A thread that consumes topics in a group, from the earliest message on, and commits what was handled."""

    def __init__(
        self,
        stream: Stream,
        settings: ServiceSettings,
        database: Database,
        letters: DeadLetterWriter,
        *,
        group: str,
        options: dict[str, Any],
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._database = database
        self._letters = letters
        of_both = {name: value for name, value in confluent_options(settings).items() if name != "partitioner"}
        self._options = of_both | {
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "partition.assignment.strategy": "roundrobin",
            "max.partition.fetch.bytes": LARGEST_MESSAGE,
            # By default it waits for a second before it fetches again once enough messages are queued.
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 4 * BATCH_RECORDS,
            **options,
        }
        self._topics = {settings.topic_prefix + topic: topic for topic in stream.topics}
        self._stopping = threading.Event()
        self._let_go = False
        self._settled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.lags = {name: Lag(topic) for name, topic in self._topics.items()}
        for metric in (DEAD, RETRIES):  # at 0 from the start: the first dead letter is an increase
            for topic in stream.topics:
                metric.labels(topic)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"stream {self._stream.name}", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Finish the batch in hand and leave the group, so that other replicas take over at once."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 60)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except Transient as error:
                log.warning("stream begins again", stream=self._stream.name, reason=str(error))
            except Exception:  # whatever it is, the stream must not end while the service runs
                log.exception("stream interrupted", stream=self._stream.name)
                self._stopping.wait(AGAIN_SECONDS)

    def _consume(self) -> None:
        from confluent_kafka import Consumer

        consumer = Consumer(self._options)
        try:
            consumer.subscribe(
                list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._stopping.is_set():
                first = consumer.poll(POLL_SECONDS)
                if first is None:
                    self._note_lag(consumer)
                    continue
                messages = [message for message in (first, *consumer.consume(BATCH_RECORDS - 1, 0)) if is_good(message)]
                if not messages:
                    continue
                self._let_go = False
                if not self._deliver(consumer, messages):
                    if self._stopping.is_set():
                        return
                    raise Transient("the partitions were taken away: they are read again from what was committed")
                self._commit(consumer, messages)
                self._note_lag(consumer, messages)
                if not self._settled:
                    self._settle_down()
        finally:
            consumer.close()

    def _note_lag(self, consumer: Consumer, handled: Sequence[Message] = ()) -> None:
        newest: dict[str, float] = {}
        for message in handled:
            name = message.topic() or ""
            newest[name] = max(newest.get(name, 0.0), message.timestamp()[1] / 1000)
        positions = consumer.position(consumer.assignment())
        for name, lag in self.lags.items():
            lag.note(consumer, [item for item in positions if item.topic == name], newest.get(name))

    def _settle_down(self) -> None:
        """Leave all objects that there are to the garbage collector no longer: with the first batch, all is imported.

        Each batch makes ten thousands of objects, for which it would visit them again and again: half of the time.
        """
        gc.collect()
        gc.freeze()
        self._settled = True

    def _deliver(self, consumer: Consumer, messages: Sequence[Message]) -> bool:
        """Handle a batch to completion. Returns False when it was let go, and must not be committed."""
        attempt = 0
        while True:
            attempt += 1
            try:
                bad = self._handle(messages)
            except Transient as error:
                log.warning("transient error; retrying", attempt=attempt, error=error_text(error))
            except Exception as error:  # a bug, or a library's error: must neither be lost nor block forever
                log.exception("handler failed", attempt=attempt)
                if attempt >= UNEXPECTED_ATTEMPTS:
                    everything = [(received(message), error_text(error)) for message in messages]
                    return self._bury(consumer, everything, attempt)
            else:
                return self._bury(consumer, bad, attempt)
            for name in {message.topic() or "" for message in messages}:
                RETRIES.labels(self._topics[name]).inc()
            if not self._wait(consumer, attempt):
                return False

    def _handle(self, messages: Sequence[Message]) -> list[Bad]:
        """Handle the messages of a batch; return those that cannot be, the others have taken effect."""
        bad: list[Bad] = []
        good: list[tuple[Message, Any]] = []
        most, read = self._settings.max_event_bytes, self._stream.read
        for message in messages:
            try:
                topic = self._topics[message.topic() or ""]
                record = Record(topic, message.key(), message.value(), headers_of(message), message.timestamp()[1])
                good.append((message, read(record, most)))
            except UnicodeDecodeError as error:
                bad.append((received(message), f"Malformed: the name of a header is not UTF-8: {error}"))
            except (Permanent, ValueError) as error:
                bad.append((received(message), error_text(error)))
        try:
            self._run_batch([item for _, item in good])
        except (Permanent, ValueError):
            bad += self._one_by_one(good)
        return bad

    def _one_by_one(self, good: Sequence[tuple[Message, Any]]) -> list[Bad]:
        """Handle the records of a batch one by one; return those that fail, the others take effect."""
        bad: list[Bad] = []
        for message, item in good:
            try:
                self._run_batch([item])
            except (Permanent, ValueError) as error:
                bad.append((received(message), error_text(error)))
        return bad

    def _run_batch(self, items: Sequence[Any]) -> None:
        if not items:
            return
        batch = self._stream.gather(items)
        with self._database.transaction() as session:
            self._stream.handler(session, batch)
        HANDLED.labels(self._stream.counted_as).inc(len(items))

    def _bury(self, consumer: Consumer, bad: Sequence[Bad], attempts: int) -> bool:
        assert self._loop is not None, "start() first"
        failures = 0
        for record, reason in bad:
            while True:
                written = asyncio.run_coroutine_threadsafe(self._letters.write(record, reason, attempts), self._loop)
                try:
                    written.result()
                    break
                except KafkaError as error:
                    failures += 1
                    log.warning("dead letter waits for Kafka", error=error_text(error))
                    if not self._wait(consumer, failures):
                        return False
        return True

    def _wait(self, consumer: Consumer, attempt: int) -> bool:
        """Back off with jitter; return False when the partitions were taken away, or the service stops.

        The consumer stays in its group meanwhile: it is polled, and gets nothing, because it is paused.
        """
        until = time.monotonic() + backoff_seconds(attempt)
        consumer.pause(consumer.assignment())
        while not self._let_go and not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            if (message := consumer.poll(min(left, POLL_SECONDS))) is not None and is_good(message):
                self._let_go = True  # of partitions that were assigned meanwhile: all is read again
        if self._let_go or self._stopping.is_set():
            return False
        consumer.resume(consumer.assignment())
        return True

    def _commit(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        newest = {(each.topic() or "", each.partition() or 0): (each.offset() or 0) + 1 for each in messages}
        try:
            consumer.commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in newest.items()],
                asynchronous=False,
            )
        except KafkaException as error:
            # The effect is committed in the database: if it is redelivered, the handler detects it.
            log.warning("offset not committed; a duplicate may follow", error=error_text(error))

    def _on_assign(self, consumer: Consumer, partitions: Any) -> None:
        log.info("stream assigned", stream=self._stream.name, partitions=len(partitions))

    def _on_revoke(self, consumer: Consumer, partitions: Any) -> None:
        self._let_go = True
        for name, lag in self.lags.items():
            lag.forget(item.partition for item in partitions if item.topic == name)
