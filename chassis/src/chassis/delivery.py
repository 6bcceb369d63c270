"""Delivery of a received message: handled once, retried in order, or stored as a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import ConsumerRebalanceListener, ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy, BaseMiddleware
from faststream.exceptions import NackMessage
from faststream.kafka.message import KafkaMessage
from faststream.message import AckStatus
from prometheus_client import Counter, Gauge

from chassis.errors import Permanent, Transient
from chassis.idempotent_producer import IdempotentProducer
from chassis.telemetry import get_logger
from chassis.waiting import set_within
from contracts.cloudevents import Record
from contracts.dead_letters import letter_for
from contracts.redelivery import backoff_seconds, error_text, given_up

DEAD = Counter("gauntlet_dead_letters_total", "Messages given up on", ["topic"])
RETRIES = Counter("gauntlet_handler_retries_total", "Attempts after the first", ["topic"])
HANDLING = Gauge(
    "gauntlet_handler_message_timestamp_seconds",
    "When the message that a handler works on was published, in seconds since 1970; 0: it waits for one",
    ["topic"],
)

ACK_POLICY = AckPolicy.NACK_ON_ERROR
"""The safety net under `Delivery`: FastStream's other policies commit or skip unhandled messages."""

log = get_logger(__name__)


class DeadLetterWriter:
    """Writes to the dead-letter topic, acknowledged by all replicas."""

    def __init__(self, service: str, topic: str, prefix: str, options: dict[str, Any]) -> None:
        self._service, self._topic, self._prefix = service, topic, prefix
        self._producer = IdempotentProducer(options)

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def write(self, message: ConsumerRecord[Any, Any], error: str, attempts: int) -> None:
        """Raises KafkaError when the broker does not accept the letter."""
        topic = message.topic.removeprefix(self._prefix)
        record = Record(topic, message.key, message.value, tuple(message.headers), message.timestamp)
        letter = letter_for(
            record,
            service=self._service,
            partition=message.partition,
            offset=message.offset,
            error=error,
            attempts=attempts,
        )
        key, value, headers = letter.encode()
        try:
            await (await self._producer.send(self._topic, key=key, value=value, headers=headers))
        except KafkaError as refused:
            await self._producer.recover(refused)
            raise
        DEAD.labels(topic).inc()
        log.error("dead letter", letter=letter.id, error=error, attempts=attempts)


class Subscription(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The state of one consumer: whether a message is being handled, and whether to release it.

    A rebalance runs concurrently with a handler. It waits here until the current message has been committed, and cuts
    a backoff short, so that no other replica starts the same message meanwhile.
    """

    def __init__(self, letters: DeadLetterWriter, topic: str) -> None:
        """`topic`: without prefix."""
        self._letters = letters
        self._topic = topic
        for metric in (DEAD, RETRIES, HANDLING):  # at 0 from the start: the first dead letter is an increase
            metric.labels(topic)
        self._idle = asyncio.Event()
        self._idle.set()
        self._let_go = asyncio.Event()
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        self._let_go.set()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self._let_go.set()
        await self._idle.wait()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        if not self._stopping:
            self._let_go.clear()

    async def deliver(self, call: Callable[[KafkaMessage], Awaitable[Any]], message: KafkaMessage) -> None:
        """Handle `message` to completion, then commit. Leaves it uncommitted when the partitions are revoked."""
        self._idle.clear()
        record: Any = message.raw_message  # one: nothing is subscribed to in batches
        HANDLING.labels(self._topic).set(record.timestamp / 1000)
        try:
            if await self._settled(call, message):
                await self._commit(message)
            else:
                message.committed = AckStatus.NACKED  # the next assignee starts at the committed offset
                raise NackMessage
        finally:
            HANDLING.labels(self._topic).set(0)
            self._idle.set()

    async def _settled(self, call: Callable[[KafkaMessage], Awaitable[Any]], message: KafkaMessage) -> bool:
        record: Any = message.raw_message  # one: nothing is subscribed to in batches
        attempt = 0
        while True:
            attempt += 1
            try:
                await call(message)
                return True
            except Exception as error:
                if isinstance(error, Transient):
                    log.warning("transient error; retrying", attempt=attempt, error=error_text(error))
                elif not isinstance(error, Permanent | ValueError):
                    log.exception("handler failed", attempt=attempt)
                if given_up(error, attempt):
                    return await self._bury(record, error, attempt)
            RETRIES.labels(self._topic).inc()
            if not await self._wait(attempt):
                return False

    async def _bury(self, record: ConsumerRecord[Any, Any], reason: Exception, attempts: int) -> bool:
        failures = 0
        while True:
            try:
                await self._letters.write(record, error_text(reason), attempts)
                return True
            except KafkaError as error:
                failures += 1
                log.warning("dead letter waits for Kafka", error=error_text(error))
                if not await self._wait(failures):
                    return False

    async def _wait(self, attempt: int) -> bool:
        """Back off with jitter; return False when interrupted by a release."""
        return not await set_within(self._let_go, backoff_seconds(attempt))

    async def _commit(self, message: KafkaMessage) -> None:
        try:
            await message.ack()
        except KafkaError as error:
            # The effect is committed in the database: if this offset is redelivered, the inbox detects it.
            message.committed = AckStatus.ACKED
            log.warning("offset not committed; a duplicate may follow", error=error_text(error))


class Delivery(BaseMiddleware):
    """FastStream's hook around a handler."""

    def __init__(self, msg: Any, /, *, context: Any, subscription: Subscription) -> None:
        super().__init__(msg, context=context)
        self._subscription = subscription

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        await self._subscription.deliver(call_next, msg)
