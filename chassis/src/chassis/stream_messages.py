"""Messages of librdkafka: which are good, and each as a dead letter is written of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chassis.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

log = get_logger(__name__)


class Received(NamedTuple):
    """A message as a dead letter is written of it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int


def is_good(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    log.warning("Kafka reports", error=str(error))
    return False


def headers_of(message: Message) -> Any:
    """Raises UnicodeDecodeError for a name that is not UTF-8."""
    return message.headers() or ()


def received(message: Message) -> Any:
    try:
        headers = headers_of(message)
    except UnicodeDecodeError:
        headers = ()
    return Received(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        headers,
        message.timestamp()[1],
    )
