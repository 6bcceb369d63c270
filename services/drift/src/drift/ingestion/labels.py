"""GroundTruthReceived as labels: from the message's bytes, outside the transaction and the model's lock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from contracts import Envelope, GroundTruthReceived
from contracts.cloudevents import Record, decode
from contracts.event import LARGEST_INTEGER
from drift.database.records import as_utc, dumps, event_key, identity, row_key, storable, unit_key
from drift.ingestion.headers import is_model_name, plain_time, time_of

TYPE = GroundTruthReceived.type.encode()
LABELS = frozenset({str, int, float, bool})


class LabelRead(NamedTuple):
    """A label, JSON, of a row (`request_id` and `row`) or of an entity (`unit`). Ids are identities, times in UTC."""

    model_name: str
    key: int
    request_id: str | None
    row: int
    entity_id: str | None
    unit: int | None
    event_time: datetime | None
    sent_at: datetime
    label: str


def read(record: Record, max_bytes: int) -> LabelRead:
    """Return the label of a message. Raises Malformed, or ValueError without a reference to a prediction or a label."""
    found = _plain(record, max_bytes)
    return of_event(decode(record, max_bytes)) if found is None else found


def of_event(envelope: Envelope[GroundTruthReceived]) -> LabelRead:
    event = envelope.data
    if event.request_id is None and event.entity_id is None:
        raise ValueError("ground truth names neither request_id nor entity_id: it cannot be matched to a prediction")
    if event.label is None:
        raise ValueError("ground truth without a label: label is null")
    name, row = event.model_name, storable("row", event.row)
    request_id = None if event.request_id is None else identity(event.request_id)
    entity_id = None if request_id is not None or event.entity_id is None else identity(event.entity_id)
    return LabelRead(
        name,
        event_key(name, envelope) if request_id is None else row_key(name, request_id, row),
        request_id,
        row,
        entity_id,
        None if entity_id is None else unit_key(name, entity_id),
        as_utc(event.event_time),
        as_utc(envelope.time) or datetime.now(UTC),
        dumps(event.label),
    )


def gather(labels: Iterable[LabelRead]) -> list[tuple[str, list[LabelRead]]]:
    """Group by model, ordered by name, so that two transactions that lock several models cannot deadlock."""
    found: dict[str, list[LabelRead]] = {}
    for label in labels:
        found.setdefault(label.model_name, []).append(label)
    return sorted(found.items())


def _plain(record: Record, max_bytes: int) -> LabelRead | None:
    """Read a label of a row that is written as serving writes it; None for any other."""
    value = record.value
    if value is None or len(value) > max_bytes:
        return None
    sent_at = time_of(record.headers, TYPE)
    if sent_at is None:
        return None
    try:
        body = orjson.loads(value)
        name, request_id, label = body["model_name"], body["request_id"], body["label"]
    except (ValueError, KeyError, TypeError):
        return None
    row, event_time, entity_id = body.get("row", 0), body.get("event_time"), body.get("entity_id")
    if (
        type(name) is not str
        or name.encode() != record.key
        or not is_model_name(name)
        or type(request_id) is not str
        or type(row) is not int
        or not 0 <= row <= LARGEST_INTEGER
        or type(label) not in LABELS
        or (entity_id is not None and type(entity_id) is not str)
    ):
        return None
    when: Any = None
    if event_time is not None and (when := plain_time(event_time)) is None:
        return None
    request_id = identity(request_id)
    key = row_key(name, request_id, row)
    return LabelRead(name, key, request_id, row, None, None, when, sent_at, dumps(label))
