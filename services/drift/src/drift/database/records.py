"""Values of events as they are stored: bounded, and valid in both databases."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from contracts import Envelope
from contracts.event import LARGEST_INTEGER

LONGEST_ID = 200
HALF = 2**63


def identity(text: str) -> str:
    """Return `text` as it is stored: short enough for an index."""
    if len(text) <= LONGEST_ID and text.isascii() and "\0" not in text:
        return text
    stored = clean(text)
    return stored if len(stored) <= LONGEST_ID else "sha256:" + hashlib.sha256(stored.encode()).hexdigest()


def hash_of(text: str) -> int:
    """Return a number that a column of 64 bits holds; of a million texts two are equal once in 30 million times."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


@lru_cache(maxsize=65_536)
def _base(model_name: str, request_id: str) -> int:
    return hash_of(f"{model_name}\0{request_id}")


def row_key(model_name: str, request_id: str, row: int) -> int:
    """Return the key of a predicted row. The rows of a request have neighbouring keys: they share pages of an index.

    `request_id`: an `identity`.
    """
    return (_base(model_name, request_id) + row + HALF) % (2 * HALF) - HALF


@lru_cache(maxsize=65_536)
def unit_key(model_name: str, entity_id: str) -> int:
    """Return the key of an entity of a model. `entity_id`: an `identity`."""
    return hash_of(f"{model_name}\0\0{entity_id}")


def event_key(model_name: str, envelope: Envelope[Any]) -> int:
    """Return the key of a label that names no row: that of its event."""
    own = hashlib.sha256(f"{envelope.source}\0{envelope.id}".encode("utf-8", "replace")).hexdigest()
    return key_of_event(model_name, f"event:{own}")


def key_of_event(model_name: str, event: str) -> int:
    """`event`: how an older build named it."""
    return hash_of(f"{model_name}\0\0\0{event}")


def label_key(request_id: str, row: int) -> str:
    """Return the name of a row by which rollouts, and the rows that a version failed on, are counted."""
    return f"{row}:{request_id}"


def clean(text: str) -> str:
    """Remove NUL and lone surrogates, which PostgreSQL rejects."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def as_utc(when: datetime | None) -> datetime | None:
    """Convert to UTC; a time without a zone is taken as UTC, one out of range in UTC becomes None."""
    if when is None:
        return None
    try:
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except OverflowError:
        return None


def dumps(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits, or a lone surrogate
        return json.dumps(value)


def loads(text: str) -> Any:
    """Read what `dumps` wrote."""
    try:
        return orjson.loads(text)
    except ValueError:  # an integer beyond any float, which an event may carry
        return json.loads(text)


def storable(name: str, value: int) -> int:
    """Check the range of an integer. Raises ValueError when no column can hold it."""
    if value > LARGEST_INTEGER:
        raise ValueError(f"{name} {value} is larger than {LARGEST_INTEGER}")
    return value
