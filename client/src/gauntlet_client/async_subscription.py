"""The same as `subscription`, for programs of asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from contracts import Envelope, Event
from contracts.kafka_connection import KafkaConnection
from contracts.redelivery import backoff_seconds, error_text, given_up
from gauntlet_client.reading import DEAD_LETTERS, Positions, Received, Wanted, log
from gauntlet_client.subscription import POLL_MS, letter_of

E = TypeVar("E", bound=Event)


class AsyncSubscription(Generic[E]):
    """An asynchronous iterator of envelopes, and a context manager; commits as `Subscription` does.

    The loop's body must not block the event loop: a member that does not answer Kafka loses its partitions.
    """

    def __init__(
        self, connection: KafkaConnection, wanted: Wanted, options: dict[str, Any], timeout: float | None
    ) -> None:
        self._connection, self._wanted, self._options, self._timeout = connection, wanted, options, timeout
        self._group = str(options["group_id"])
        self._positions = Positions()
        self._pending: Received[E] | None = None
        self._again = False
        self._consumer: Any = None

    def __aiter__(self) -> Self:
        self._again = self._pending is not None  # a new loop after one that failed: its event comes again
        return self

    async def __anext__(self) -> Envelope[E]:
        received = await self._next()
        if received is None:
            raise StopAsyncIteration
        return received.envelope

    async def commit(self) -> None:
        """Say that the current event is done."""
        if self._pending is not None:
            place = self._wanted.prefix + self._pending.record.topic, self._pending.partition
            self._positions.done(place, self._pending.offset)
            self._pending = None
        await (await self._started()).commit(self._positions.take())

    async def handle(self, handler: Callable[[Envelope[E]], Awaitable[object]], dead_letters: bool) -> None:
        """Call `handler` with each event, again if it fails; see `Gauntlet.handle`."""
        while (received := await self._next()) is not None:
            attempt = 0
            while True:
                attempt += 1
                try:
                    await handler(received.envelope)
                    break
                except Exception as error:
                    if given_up(error, attempt):
                        if not dead_letters:
                            raise
                        await self._bury(received, error, attempt)
                        break
                    log.warning("attempt %s failed, trying again: %s", attempt, error_text(error))
                await asyncio.sleep(backoff_seconds(attempt))

    async def close(self) -> None:
        """Leave the group. The current event, if any, is not committed."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                await consumer.commit(self._positions.take())  # what was skipped
            finally:
                await consumer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _started(self) -> Any:
        from gauntlet_client.kafka_async import Consumer

        if self._consumer is None:
            consumer = Consumer(self._connection, self._wanted.topics, self._options)
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def _next(self) -> Received[E] | None:
        if self._again and self._pending is not None:
            self._again = False
            return self._pending
        await self.commit()
        consumer = await self._started()
        quiet = time.monotonic()
        while True:
            left = None if self._timeout is None else self._timeout - (time.monotonic() - quiet)
            if left is not None and left <= 0:
                return None
            message = await consumer.next(POLL_MS if left is None else min(POLL_MS, max(1, round(left * 1000))))
            if message is None:
                await consumer.commit(self._positions.take())
                continue
            self._pending = self._wanted.read(message)
            if self._pending is not None:
                return self._pending
            self._positions.done((message.topic, message.partition), message.offset)

    async def _bury(self, received: Received[E], error: Exception, attempts: int) -> None:
        from gauntlet_client.kafka_async import publish

        letter = letter_of(received, self._group.removeprefix(self._wanted.prefix), error, attempts)
        await publish(self._connection, DEAD_LETTERS, *letter.encode())
        log.error("dead letter %s: %s", letter.id, letter.error)
