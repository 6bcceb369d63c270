"""Dead letters: the original bytes and headers of messages that could not be handled, and the reason.

A letter is a record on the compacted topic `dead-letters`, keyed by service, topic, partition and offset, so that a
letter written twice counts once, and a tombstone removes it after a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.cloudevents import Headers, Record

OWN = "dl_"


@dataclass(frozen=True)
class DeadLetter:
    """One message that a service gave up on; `topic` is the original one, without prefix."""

    service: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    error: str
    attempts: int
    time: datetime

    @property
    def id(self) -> str:
        return f"{self.service}:{self.topic}:{self.partition}:{self.offset}"

    def encode(self) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        """Return key, value and headers of the record on `dead-letters`. Null keys, values and headers are marked."""
        own = {
            "dl_service": self.service,
            "dl_topic": self.topic,
            "dl_partition": str(self.partition),
            "dl_offset": str(self.offset),
            "dl_error": self.error[:4000],
            "dl_attempts": str(self.attempts),
            "dl_time": self.time.astimezone(UTC).isoformat(),
            "dl_null_headers": ",".join(name for name, value in self.headers if value is None),
        }
        headers = [(name, value.encode()) for name, value in own.items()]
        if self.key is not None:
            headers.append(("dl_key", self.key))
        if self.value is None:
            headers.append(("dl_null_value", b"1"))
        originals = [(name, value) for name, value in self.headers if value is not None]
        return self.id.encode(), self.value or b"", headers + originals

    @property
    def original(self) -> tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]:
        """Return topic (without prefix), key, value and headers of the message, as it is sent again.

        A header without a value is left out: kafka-python cannot send one, and our consumers treat it as absent.
        """
        headers = [(name, content) for name, content in self.headers if content is not None]
        return self.topic, self.key, self.value, headers

    @property
    def tombstone(self) -> tuple[bytes, None]:
        """Return key and value of the record that takes the letter away. Send the original before it, and wait.

        A crash between the two keeps the letter: replayed twice, never lost.
        """
        return self.id.encode(), None

    @classmethod
    def decode(cls, value: bytes, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
        """Raises KeyError for a record that is not a dead letter."""
        own = {name: content for name, content in headers if name.startswith(OWN)}
        nulls = [name for name in own["dl_null_headers"].decode().split(",") if name]
        originals: list[tuple[str, bytes | None]] = [item for item in headers if not item[0].startswith(OWN)]
        return cls(
            service=own["dl_service"].decode(),
            topic=own["dl_topic"].decode(),
            partition=int(own["dl_partition"]),
            offset=int(own["dl_offset"]),
            key=own.get("dl_key"),
            value=None if "dl_null_value" in own else value,
            headers=(*originals, *((name, None) for name in nulls)),
            error=own["dl_error"].decode(),
            attempts=int(own["dl_attempts"]),
            time=datetime.fromisoformat(own["dl_time"].decode()),
        )


def letter_for(record: Record, *, service: str, partition: int, offset: int, error: str, attempts: int) -> DeadLetter:
    headers: Headers = record.headers
    return DeadLetter(
        service=service,
        topic=record.topic,
        partition=partition,
        offset=offset,
        key=record.key,
        value=record.value,
        headers=tuple(headers),
        error=error,
        attempts=attempts,
        time=datetime.now(UTC),
    )
