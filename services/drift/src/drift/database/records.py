"""Convert events to database rows: bounded, and valid in both databases."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import orjson

from contracts import Envelope, GroundTruthReceived, PredictionMade
from contracts.event import LARGEST_INTEGER

LONGEST_ID = 200


def prediction_record(envelope: Envelope[PredictionMade], now: datetime) -> dict[str, Any]:
    """Return columns of a PredictionRow, and `model_version` and `label_key`.

    Raises ValueError for unstorable values.
    """
    event = envelope.data
    request_id = identity(event.request_id)
    return {
        "model_name": event.model_name,
        "model_version": event.champion.model_version,
        "request_id": request_id,
        "row": storable("row", event.row),
        "label_key": _key_of_request(request_id, event.row),
        "entity_id": identity(event.entity_id) if event.entity_id is not None else None,
        "event_time": as_utc(event.event_time),
        "made_at": as_utc(envelope.time) or now,
        "score": event.champion.score,
        "answer": dumps(event.champion.label),
        "features": dumps(event.features),
        "label": None,
    }


def label_record(envelope: Envelope[GroundTruthReceived], now: datetime) -> dict[str, Any]:
    """Return columns of a LabelRow, `request_id` and `row`. Raises ValueError without prediction reference or label."""
    event = envelope.data
    if event.request_id is None and event.entity_id is None:
        raise ValueError("ground truth names neither request_id nor entity_id: it cannot be matched to a prediction")
    if event.label is None:
        raise ValueError("ground truth without a label: label is null")
    request_id = identity(event.request_id) if event.request_id is not None else None
    by_request = request_id is not None
    return {
        "model_name": event.model_name,
        "key": _key_of_request(request_id, event.row) if request_id is not None else _key_of_event(envelope),
        "request_id": request_id,
        "row": storable("row", event.row),
        "entity_id": None if by_request or event.entity_id is None else identity(event.entity_id),
        "event_time": as_utc(event.event_time),
        "sent_at": as_utc(envelope.time) or now,
        "label": dumps(event.label),
        "received_at": now,
    }


def identity(text: str) -> str:
    """Return `text` as it is stored: short enough for an index."""
    stored = clean(text)
    return stored if len(stored) <= LONGEST_ID else "sha256:" + hashlib.sha256(stored.encode()).hexdigest()


def hash_of(text: str) -> int:
    """Return a number that a column of 64 bits holds; of a million texts two are equal once in 30 million times."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


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


def _key_of_request(request_id: str, row: int) -> str:
    return f"{row}:{request_id}"


def _key_of_event(envelope: Envelope[Any]) -> str:
    return "event:" + hashlib.sha256(f"{envelope.source}\0{envelope.id}".encode("utf-8", "replace")).hexdigest()


def storable(name: str, value: int) -> int:
    """Check the range of an integer. Raises ValueError when no column can hold it."""
    if value > LARGEST_INTEGER:
        raise ValueError(f"{name} {value} is larger than {LARGEST_INTEGER}")
    return value
