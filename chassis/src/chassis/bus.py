"""The bus: event handlers with exactly-once effects. FastStream over Kafka; events.md gives the reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker, KafkaRouter, Topic
from faststream.kafka.message import KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from prometheus_client import Counter
from sqlalchemy.orm import Session

from chassis import tracing
from chassis.database import Database
from chassis.delivery import ACK_POLICY, DeadLetterWriter, Delivery, Subscription
from chassis.errors import Transient
from chassis.inbox import first_time
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options, ssl_context
from chassis.kafka_access import KafkaAccess, Need, needs_of
from chassis.kafka_problem import explain
from chassis.settings import KafkaSettings, ServiceSettings
from chassis.signing.dsse import NotVerified, Verifier
from chassis.signing.event_signature import verify_event
from chassis.signing.refusals import REFUSED
from chassis.stream import HANDLED, Read, Stream, StreamConsumer
from chassis.telemetry import get_logger, story
from chassis.topics import DEAD_LETTERS
from contracts import BY_TYPE, Envelope, Event, types_on
from contracts.cloudevents import Record, decode

E = TypeVar("E", bound=Event)
Handler = Callable[[Session, Envelope[Any]], None]
DUPLICATES = Counter("gauntlet_events_duplicate_total", "Events that had had their effect before", ["type"])

SESSION_MS, HEARTBEAT_MS = 6_000, 1_000
REASON_SECONDS = 1.5
"""With the other waits of a check, within the time that a check has."""
REBALANCE_MS = 60_000
"""Longer than the slowest handler: a member that responds later is evicted, and its message is handled twice."""

log = get_logger(__name__)


class Bus:
    """A Part. Register handlers with `on` and `on_batch` before it starts; one handler per event type.

    A handler runs in a thread, inside one transaction that also marks the inbox. It raises Transient to be retried
    (in order), Permanent or ValueError to send the message to dead letters.
    """

    name = "bus"

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        service: str,
        database: Database,
        emits: Iterable[type[Event]] = (),
        keys: Verifier | None = None,
    ) -> None:
        """`keys`: an event whose type is signed is handled only if one of them signed it; otherwise it is a dead letter
        with the reason. It can be replayed from there, when its key is trusted."""
        self._settings = settings
        self._service = service
        self._database = database
        self._keys = keys
        self.emits = tuple(emits)
        self._handlers: dict[str, dict[str, Handler]] = {}
        self._streams: list[Stream] = []
        self.streams: list[StreamConsumer] = []
        """While it runs."""
        self._broker: KafkaBroker | None = None
        self._letters: DeadLetterWriter | None = None
        self._subscriptions: list[Subscription] = []
        self._executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix=f"{service}-handler")

    def on(self, event: type[E], handler: Callable[[Session, Envelope[E]], None]) -> None:
        self._handlers.setdefault(event.topic, {})[event.type] = handler

    def on_batch(
        self,
        event: type[E],
        handler: Callable[[Session, Any], None],
        *,
        read: Read = decode,
        gather: Callable[[Sequence[Any]], Any] = list,
    ) -> None:
        """Register a stream handler: one transaction per batch, no inbox. `handler` must itself be idempotent.

        Before the transaction, `read` makes of each message what `gather` makes a batch of; by default a list of
        envelopes.
        """
        self._streams.append(Stream(event.topic, event.type, (event.topic,), read, gather, handler))

    def on_all(
        self,
        name: str,
        events: Iterable[type[Event]],
        handler: Callable[[Session, Any], None],
        *,
        read: Read = decode,
        gather: Callable[[Sequence[Any]], Any] = list,
    ) -> None:
        """As `on_batch`, of all topics that have these events, in one group `name`: in order within a partition only.

        Beside the handlers of single types, which have groups of their own.
        """
        topics = tuple(dict.fromkeys(event.topic for event in events))
        self._streams.append(Stream(name, name, topics, read, gather, handler))

    async def start(self) -> None:
        """Connect and begin to consume. Raises Transient when the broker cannot be reached."""
        letters = DeadLetterWriter(
            self._service,
            self._settings.topic_prefix + DEAD_LETTERS,
            self._settings.topic_prefix,
            aiokafka_options(self._settings) | {"max_request_size": LARGEST_MESSAGE},
        )
        broker = self._build(letters)
        try:
            await letters.start()
            await broker.start()
        except (KafkaError, OSError) as error:
            await broker.stop()
            await letters.stop()
            raise Transient(await explain(self._settings, error)) from error
        self._broker, self._letters = broker, letters
        self._access = KafkaAccess(self._settings, needs_of([self], self._settings.topic_prefix))
        self.streams = [self._consumer(stream, letters) for stream in self._streams]
        for consumer in self.streams:
            consumer.start()

    async def stop(self) -> None:
        """Finish messages in progress and leave the consumer groups, so that other replicas take over at once."""
        for subscription in self._subscriptions:
            subscription.stop()
        await asyncio.gather(*(consumer.stop() for consumer in self.streams))
        if self._broker is not None:
            await self._broker.stop()
        if self._letters is not None:
            await self._letters.stop()
        self._executor.shutdown(wait=False)

    async def check(self) -> None:
        """Raises Transient when the broker does not respond, or does not allow what the service needs."""
        if self._broker is None:
            raise Transient("not connected to Kafka yet")
        for subscriber in self._broker.subscribers[:1]:
            consumer = getattr(subscriber, "consumer", None)
            try:
                await asyncio.wait_for(consumer.topics(), 3) if consumer else None
            except (KafkaError, TimeoutError) as error:
                raise Transient(await self._reason()) from error
        await asyncio.to_thread(self._access.check)

    async def _reason(self) -> str:
        """Return why the broker does not respond, if that is found out at once."""
        try:
            return await asyncio.wait_for(explain(self._settings), REASON_SECONDS)
        except TimeoutError:
            return f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer"

    @property
    def receives(self) -> tuple[type[Event], ...]:
        types = [name for handlers in self._handlers.values() for name in handlers]
        streams = [event for stream in self._streams for topic in stream.topics for event in types_on(topic)]
        return tuple(dict.fromkeys([*(BY_TYPE[name] for name in types), *streams]))

    @property
    def needs(self) -> tuple[Need, ...]:
        """On Kafka; of what it emits, the relay writes to the topics."""
        prefix = self._settings.topic_prefix
        topics = dict.fromkeys([*self._handlers, *(topic for stream in self._streams for topic in stream.topics)])
        return (
            Need("topic", prefix + DEAD_LETTERS, "WRITE"),
            *(Need("topic", prefix + topic, "READ") for topic in topics),
            *(Need("group", self._group(name), "READ") for name in self._handlers),
            *(Need("group", self._group(stream.name), "READ") for stream in self._streams),
        )

    def _group(self, name: str) -> str:
        """Return the name of a group; that of a handler is its topic's."""
        return f"{self._settings.topic_prefix}{self._service}.{name}"

    def _consumer(self, stream: Stream, letters: DeadLetterWriter) -> StreamConsumer:
        return StreamConsumer(
            stream,
            self._settings,
            self._database,
            letters,
            group=self._group(stream.name),
            options={"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS},
        )

    def _build(self, letters: DeadLetterWriter) -> KafkaBroker:
        self._subscriptions = []
        broker = KafkaBroker(
            self._settings.kafka_bootstrap_servers.split(","),
            security=_security(self._settings),
            apply_types=False,  # the bus decodes and validates: an invalid message must not be skipped
            consumer_only=True,
            allow_auto_create_topics=False,
            logger=None,
            graceful_timeout=30.0,
        )
        for topic, handlers in self._handlers.items():
            self._subscribe(broker, letters, topic, partial(self._handle, handlers))
        return broker

    def _subscribe(
        self,
        broker: KafkaBroker,
        letters: DeadLetterWriter,
        topic: str,
        work: Callable[[Any], None],
    ) -> None:
        async def consume(events: Any) -> None:
            await asyncio.get_running_loop().run_in_executor(self._executor, work, events)

        subscription = Subscription(letters, topic)
        router = KafkaRouter(middlewares=[partial(Delivery, subscription=subscription)])
        options: dict[str, Any] = {
            "group_id": self._group(topic),
            "ack_policy": ACK_POLICY,
            "parser": _parse,
            "decoder": _undecoded,
            "listener": subscription,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": HEARTBEAT_MS,
            "rebalance_timeout_ms": REBALANCE_MS,
            "max_partition_fetch_bytes": LARGEST_MESSAGE,
        }
        router.subscriber(Topic(self._settings.topic_prefix + topic, declare=False), **options)(consume)
        broker.include_router(router)
        self._subscriptions.append(subscription)

    def _handle(self, handlers: dict[str, Handler], message: ConsumerRecord[Any, Any]) -> None:
        record = self._record(message)
        envelope = decode(record, self._settings.max_event_bytes)
        handler = handlers.get(envelope.type)
        if handler is None:
            return  # a type on this topic that this service does not handle
        if self._keys is not None and envelope.data.signed:
            self._verify(record, self._keys)
        tracing_it = tracing.processing(
            envelope,
            message.topic,
            group=self._group(record.topic),
            partition=message.partition,
            offset=message.offset,
        )
        with tracing_it, story(envelope), self._database.transaction() as session:
            if not first_time(session, envelope):
                DUPLICATES.labels(envelope.type).inc()
                log.info("duplicate ignored", event_id=envelope.id, type=envelope.type)
                return
            handler(session, envelope)
        HANDLED.labels(envelope.type).inc()

    def _record(self, message: ConsumerRecord[Any, Any]) -> Record:
        topic = message.topic.removeprefix(self._settings.topic_prefix)
        return Record(topic, message.key, message.value, tuple(message.headers), message.timestamp)

    def _verify(self, record: Record, keys: Verifier) -> None:
        """Raises NotVerified: such a message becomes a dead letter."""
        try:
            verify_event(record, keys)
        except NotVerified as error:
            REFUSED.labels(record.topic, "live", error.why).inc()
            raise


async def _parse(message: ConsumerRecord[Any, Any], original: Any) -> Any:
    """Accept any message: FastStream's own parser silently skips one whose headers are not text."""
    parsed = await original(replace(message, headers=()))
    parsed.raw_message = message
    return parsed


async def _undecoded(message: KafkaMessage, _original: Any) -> Any:
    return message.raw_message


def _security(settings: KafkaSettings) -> BaseSecurity | None:
    context, name, password = ssl_context(settings), settings.kafka_sasl_username, settings.kafka_sasl_password
    if "SASL" not in settings.kafka_security_protocol:
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    kind = kinds[settings.kafka_sasl_mechanism]
    return kind(username=name or "", password=password or "", ssl_context=context, use_ssl=context is not None)
