"""Events one after another, each handled at least once: committed when the next one is wanted, and not before."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from contracts import Envelope, Event
from contracts.cloudevents import Record
from contracts.dead_letters import letter_for
from contracts.kafka_connection import KafkaConnection
from contracts.redelivery import backoff_seconds, error_text, given_up
from gauntlet_client.reading import DEAD_LETTERS, Positions, Received, Wanted, log

E = TypeVar("E", bound=Event)

POLL_MS = 500


class Subscription(Generic[E]):
    """An iterator of envelopes, and a context manager.

    An event is committed when the loop wants the next one: its body has ended without an exception then. After an
    exception, a kill or a `break` it is not, and comes again, to this subscription or to another member of the group.
    `commit()` commits it earlier, such as before a `break`.

    `timeout`: seconds without an event after which the loop ends; None: never.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        wanted: Wanted,
        options: dict[str, Any],
        timeout: float | None,
    ) -> None:
        from gauntlet_client.kafka_sync import Consumer

        self._connection, self._wanted, self._timeout = connection, wanted, timeout
        self._group = str(options["group_id"])
        self._positions = Positions()
        self._pending: Received[E] | None = None
        self._again = False
        self._consumer = Consumer(connection, wanted.topics, options)
        self._closed = False

    def __iter__(self) -> Self:
        self._again = self._pending is not None  # a new loop after one that failed: its event comes again
        return self

    def __next__(self) -> Envelope[E]:
        received = self._next()
        if received is None:
            raise StopIteration
        return received.envelope

    def commit(self) -> None:
        """Say that the current event is done."""
        if self._pending is not None:
            self._positions.done(self._place(self._pending.record, self._pending.partition), self._pending.offset)
            self._pending = None
        self._consumer.commit(self._positions.take())

    def handle(self, handler: Callable[[Envelope[E]], object], dead_letters: bool) -> None:
        """Call `handler` with each event, again if it fails; see `Gauntlet.handle`."""
        while (received := self._next()) is not None:
            attempt = 0
            while True:
                attempt += 1
                try:
                    handler(received.envelope)
                    break
                except Exception as error:
                    if given_up(error, attempt):
                        if not dead_letters:
                            raise
                        self._bury(received, error, attempt)
                        break
                    log.warning("attempt %s failed, trying again: %s", attempt, error_text(error))
                time.sleep(backoff_seconds(attempt))

    def close(self) -> None:
        """Leave the group. The current event, if any, is not committed."""
        if not self._closed:
            self._closed = True
            try:
                self._consumer.commit(self._positions.take())  # what was skipped
            finally:
                self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> Received[E] | None:
        if self._again and self._pending is not None:
            self._again = False
            return self._pending
        self.commit()
        quiet = time.monotonic()
        while True:
            left = None if self._timeout is None else self._timeout - (time.monotonic() - quiet)
            if left is not None and left <= 0:
                return None
            message = self._consumer.next(POLL_MS if left is None else min(POLL_MS, max(1, round(left * 1000))))
            if message is None:
                self._consumer.commit(self._positions.take())
                continue
            self._pending = self._wanted.read(message)
            if self._pending is not None:
                return self._pending
            self._positions.done((message.topic, message.partition), message.offset)

    def _place(self, record: Record, partition: int) -> tuple[str, int]:
        return self._wanted.prefix + record.topic, partition

    def _bury(self, received: Received[E], error: Exception, attempts: int) -> None:
        from gauntlet_client.kafka_sync import publish

        letter = letter_of(received, self._group.removeprefix(self._wanted.prefix), error, attempts)
        publish(self._connection, DEAD_LETTERS, *letter.encode())
        log.error("dead letter %s: %s", letter.id, letter.error)


def letter_of(received: Received[Any], service: str, error: Exception, attempts: int) -> Any:
    """Return the letter of an event that was given up on."""
    return letter_for(
        received.record,
        service=service,
        partition=received.partition,
        offset=received.offset,
        error=error_text(error),
        attempts=attempts,
    )
