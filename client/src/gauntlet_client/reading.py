"""Events as a subscription sees them: which topics, which records are meant, and how far a group has come.

Pure: the Kafka clients are in `subscription` and `async_subscription`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts import BY_TYPE, EVENTS, Envelope, Event
from contracts.cloudevents import Record, decode
from contracts.errors import Malformed
from gauntlet_client.errors import ClientError

E = TypeVar("E", bound=Event)

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes: the limit of the topics."""
DEAD_LETTERS = "dead-letters"
SESSION_MS = 10_000

log = logging.getLogger("gauntlet_client")


@dataclass(frozen=True)
class Received(Generic[E]):
    """An event, and the record that it came in; `record.topic` is without prefix."""

    envelope: Envelope[E]
    record: Record
    partition: int
    offset: int


@dataclass(frozen=True)
class Wanted:
    """What is subscribed to."""

    types: tuple[type[Event], ...]
    model: str | None
    prefix: str

    @property
    def topics(self) -> list[str]:
        return sorted({self.prefix + each.topic for each in self.types})

    def read(self, message: Any) -> Received[Any] | None:
        """Return the event of a record of a Kafka client; None for one that is not meant.

        A type that this version does not know, and a record that is no event, are skipped with a warning: the services
        keep what they cannot handle as dead letters.
        """
        topic = message.topic.removeprefix(self.prefix)
        record = Record(topic, message.key, message.value, tuple(message.headers), message.timestamp)
        if record.value is None:
            return None  # a tombstone, of a compacted topic
        try:
            envelope = decode(record, LARGEST_MESSAGE)
        except Malformed as error:
            what = "skipped an event of a newer version" if error.unknown_type else "skipped what is no event"
            log.warning("%s: %s %s:%s: %s", what, message.topic, message.partition, message.offset, error)
            return None
        if not isinstance(envelope.data, self.types) or self.model not in (None, envelope.model_name):
            return None
        return Received(envelope, record, message.partition, message.offset)


def wanted(types: Sequence[type[Event] | str], model: str | None, prefix: str) -> Wanted:
    """Read the types: classes of `contracts`, or their names. Raises ClientError for one that there is not."""
    if not types:
        raise ClientError("no type of event is named", f"There are: {_names()}")
    return Wanted(tuple(_type(each) for each in types), model, prefix)


def options(group: str, prefix: str, start: str, longest_handling: float) -> dict[str, Any]:
    """Return the options of a consumer that kafka-python and aiokafka share. Raises ClientError for a wrong value."""
    if not group.strip():
        raise ClientError("the group is empty", "Name the program: its instances share the events.")
    if start not in ("earliest", "latest"):
        raise ClientError(f"start is {start!r}", "It is earliest or latest: where a new group begins.")
    return {
        "group_id": prefix + group,
        "enable_auto_commit": False,
        "auto_offset_reset": start,
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": LARGEST_MESSAGE,
        # Sooner than the clients' 45 s: for so long the partitions of a member that was killed wait for another one.
        "session_timeout_ms": SESSION_MS,
        "heartbeat_interval_ms": SESSION_MS // 4,
        "max_poll_interval_ms": round(longest_handling * 1000),
    }


class Positions:
    """How far each partition has been handled: what is to be committed. An event counts once it is done."""

    def __init__(self) -> None:
        self._done: dict[Any, int] = {}

    def done(self, partition: Any, offset: int) -> None:
        """The record at `offset` was handled, or skipped."""
        self._done[partition] = offset + 1

    def take(self) -> dict[Any, int]:
        """Return the next offset of each partition that has moved since."""
        moved, self._done = self._done, {}
        return moved


def _type(given: type[Event] | str) -> type[Event]:
    if isinstance(given, str):
        for each in EVENTS:
            if given in (each.__name__, each.type):
                return each
    elif isinstance(given, type) and issubclass(given, Event) and getattr(given, "type", None) in BY_TYPE:
        return given
    raise ClientError(f"{given!r} is no type of event", f"There are: {_names()}")


def _names() -> str:
    return ", ".join(each.__name__ for each in EVENTS)
