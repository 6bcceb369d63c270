"""An idempotent producer that goes on after an error.

aiokafka numbers the messages of a partition, and takes no number back when the broker refuses a message for good, for
example because it must not be written. From then on each message is out of order, whatever was mended since.
So the producer is replaced by a new one, which counts anew.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

STOP_SECONDS = 5.0


class IdempotentProducer:
    """Every message is acknowledged by all replicas. `options`: aiokafka's."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises KafkaError; may then be started again."""
        producer = AIOKafkaProducer(**self._options, enable_idempotence=True, acks="all")
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def send(self, topic: str, **message: Any) -> asyncio.Future[Any]:
        """Return the future of the acknowledgement. Raises KafkaError, as the future does: then `recover`."""
        if self._producer is None:
            await self.start()
        assert self._producer is not None, "started above"
        sent: asyncio.Future[Any] = await self._producer.send(topic, **message)
        return sent

    async def recover(self, error: KafkaError) -> None:
        """After an error of a message: let a new producer send the next one, unless this one can go on."""
        if error.retriable or isinstance(error, KafkaTimeoutError):
            return
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)
            except (KafkaError, TimeoutError):
                pass  # what it had not sent is sent again
