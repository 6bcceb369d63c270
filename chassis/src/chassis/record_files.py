"""Records of topics in a file, byte for byte, one JSON object a line: signatures stay verifiable without a broker."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chassis.errors import Permanent
from contracts.cloudevents import Record


def to_line(record: Record) -> str:
    """Return the JSON: `topic` without prefix, `key`, `value` and the values of `headers` in base64, null for none."""
    headers = [[name, _text(value)] for name, value in record.headers]
    body: dict[str, Any] = {
        "topic": record.topic,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": headers,
    }
    if record.timestamp is not None:
        body["timestamp"] = record.timestamp
    return json.dumps(body, separators=(",", ":"))


def from_line(line: str) -> Record:
    """Raises ValueError for what `to_line` did not write."""
    try:
        body = json.loads(line)
        headers = tuple((_string(name), _bytes(value)) for name, value in body["headers"])
        timestamp = body.get("timestamp")
        if timestamp is not None and type(timestamp) is not int:
            raise TypeError("timestamp is not a whole number")
        return Record(_string(body["topic"]), _bytes(body["key"]), _bytes(body["value"]), headers, timestamp)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"no record of a topic: {type(error).__name__}: {error}; it begins {line[:40]!r}") from error


def write(path: Path, records: Iterable[Record]) -> None:
    """Write the file completely, or leave the one that is there."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text("".join(f"{to_line(record)}\n" for record in records))
    draft.replace(path)


def read(path: Path) -> Iterator[Record]:
    """Raises Permanent for a file that cannot be read, or holds a line that is no record."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            yield from_line(line)
        except ValueError as error:
            raise Permanent(f"{path}, line {number}: {error}") from error


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(value: Any) -> bytes | None:
    return None if value is None else b64decode(_string(value), validate=True)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
