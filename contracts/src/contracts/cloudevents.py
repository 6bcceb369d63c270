"""CloudEvents 1.0 over Kafka: writes binary content mode; reads binary, structured and (for some types) bare JSON.

What the SDKs of other languages send is read although it differs from what is written here: media types in capitals,
data in base64 or as JSON in a string, null for a field that is not set, a byte order mark.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from contracts import BY_TYPE, Envelope, Event, content_id, new_envelope, types_on
from contracts.errors import Malformed

Headers = Sequence[tuple[str, bytes | None]]

LONGEST = {"ce_id": 200, "ce_source": 500}  # the inbox's columns
STRUCTURED = "application/cloudevents"
STRUCTURED_FORMATS = (STRUCTURED, f"{STRUCTURED}+json")
BOM = b"\xef\xbb\xbf"
LEAP_SECOND = re.compile(r":60(?=[.,Z+-]|$)")


class Record(NamedTuple):
    """A record as a Kafka client returns it; topic without prefix, timestamp in ms since 1970."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int | None = None


class Encoded(NamedTuple):
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(envelope: Envelope[Any]) -> Encoded:
    """Return key, value and headers of an event, independent of the Kafka client."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": envelope.id,
        "ce_type": envelope.type,
        "ce_source": envelope.source,
        "ce_time": envelope.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ce_subject": envelope.model_name,
        "ce_correlationid": envelope.correlation_id,
        "ce_causationid": envelope.causation_id,
        "traceparent": envelope.traceparent,
        "content-type": "application/json",
    }
    return Encoded(
        envelope.model_name.encode(),
        envelope.data.model_dump_json().encode(),
        [(name, value.encode()) for name, value in attributes.items() if value is not None],
    )


def decode(record: Record, max_bytes: int) -> Envelope[Any]:
    """Return the event in `record`. Raises Malformed with a reason meant for readers of the dead letter."""
    if record.value is None:
        raise Malformed("tombstone: the message has no value")
    if len(record.value) > max_bytes:
        raise Malformed(f"value of {len(record.value):,} bytes is over the limit of {max_bytes:,} (MAX_EVENT_BYTES)")
    if not record.key:
        raise Malformed("missing key: the key must be the model name, or order cannot be kept")
    headers, data = _text_headers(record.headers), record.value.removeprefix(BOM)
    if _is_structured(headers, data):
        headers, data = _structured(data)
    event_type = _event_type(record.topic, headers)
    event = _validated(event_type, data)
    if event.model_name.encode() != record.key:
        raise Malformed(f"key {record.key!r} differs from model_name {event.model_name!r}: order could not be kept")
    when = time_of(headers["ce_time"]) if headers.get("ce_time") else _record_time(record)
    if "ce_id" not in headers:
        own_id = content_id(event_type.type, record.key, data)
        return new_envelope(event, source="anonymous", event_id=own_id, time=when)
    if not headers["ce_id"] or not headers.get("ce_source"):
        raise Malformed("ce_id and ce_source must both be there and not empty")
    for name, longest in LONGEST.items():
        if len(headers[name]) > longest or "\0" in headers[name]:
            raise Malformed(f"{name} has {len(headers[name])} characters, or a NUL; at most {longest} are kept")
    return Envelope(
        id=headers["ce_id"],
        source=headers["ce_source"],
        time=when,
        correlation_id=headers.get("ce_correlationid") or headers["ce_id"],
        causation_id=headers.get("ce_causationid") or None,
        traceparent=headers.get("traceparent") or headers.get("ce_traceparent") or None,
        data=event,
    )


def attributes(record: Record) -> dict[str, str]:
    """Return the headers of an event in binary content mode as `decode` reads them, names in small letters.

    Raises Malformed for a structured message: its attributes are no headers.
    """
    headers = _text_headers(record.headers)
    if _is_structured(headers, (record.value or b"").removeprefix(BOM)):
        raise Malformed("a structured CloudEvent; only binary content mode is signed")
    return headers


def time_of(value: str) -> datetime:
    """Parse RFC 3339, in which T and Z may be small letters and a second may be a leap second. Raises Malformed."""
    try:
        when = datetime.fromisoformat(LEAP_SECOND.sub(":59", value.strip().upper()))
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:  # the latter: the first and the last day of the calendar
        raise Malformed(f"ce_time {value!r} is not RFC 3339") from error


def _event_type(topic: str, headers: dict[str, str]) -> type[Event]:
    here = types_on(topic)
    named = headers.get("ce_type")
    if named is None:
        optional = [event for event in here if event.headers_optional]
        if "ce_id" in headers or len(optional) != 1:
            known = ", ".join(event.type for event in here)
            raise Malformed(f"missing header ce_type; on {topic!r} it is one of: {known}")
        return optional[0]
    if named not in BY_TYPE or BY_TYPE[named] not in here:
        known = ", ".join(event.type for event in here)
        raise Malformed(f"unknown type {named!r}; on {topic!r} it is one of: {known}", unknown_type=named)
    return BY_TYPE[named]


def _text_headers(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if value is None:
            continue
        try:
            found[name.lower()] = value.decode()
        except UnicodeDecodeError:
            if name.lower().startswith("ce_"):
                raise Malformed(f"header {name} is not UTF-8: {value[:40]!r}") from None
    return found


def _is_structured(headers: dict[str, str], data: bytes) -> bool:
    """Return whether the value holds the attributes too. Raises Malformed for a format that is not JSON.

    Some SDKs give a structured message the content type of its data, or none.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in STRUCTURED_FORMATS:
        return True
    if media_type.startswith(STRUCTURED):
        raise Malformed(f"content type {media_type!r} is not read; send {STRUCTURED}+json, one event in a message")
    if any(name.startswith("ce_") for name in headers) or b'"specversion"' not in data:
        return False
    body = _json(data)
    return isinstance(body, dict) and {"specversion", "type", "source", "id"} <= body.keys()


def _structured(value: bytes) -> tuple[dict[str, str], bytes]:
    """Return attributes as the headers of binary mode would be, and the JSON of the data."""
    body = _json(value)
    if not isinstance(body, dict) or (body.get("data") is None and body.get("data_base64") is None):
        raise Malformed("structured CloudEvent without data")
    data, encoded = body.pop("data", None), body.pop("data_base64", None)
    if encoded is None and body.get("datacontentencoding") == "base64":  # as CloudEvents 0.3 did
        data, encoded = None, data
    if data is not None and encoded is not None:
        raise Malformed("structured CloudEvent with data and data_base64; it may have one of them")
    headers = {f"ce_{name}": str(item) for name, item in body.items() if item is not None}
    if encoded is not None:
        try:
            return headers, b64decode(str(encoded), validate=True).removeprefix(BOM)
        except ValueError as error:
            raise Malformed(f"data_base64 is not base64: {error}; it begins {str(encoded)[:40]!r}") from error
    # A string is the JSON text of an SDK that was given text: no event of ours is a string.
    return headers, (data if isinstance(data, str) else json.dumps(data)).encode(errors="replace")


def _validated(event_type: type[Event], data: bytes) -> Event:
    try:
        # Parse and validate in one step: half the time of json.loads followed by validation.
        return event_type.model_validate_json(data)
    except ValidationError as error:
        body = _json(data)  # reports invalid JSON as such
        if _leave_out_nulls(body, event_type, error):
            with suppress(ValidationError):
                return event_type.model_validate_json(json.dumps(body))
        raise Malformed(f"{event_type.__name__}: {_in_words(error.errors())}") from error


def _leave_out_nulls(body: Any, event_type: type[Event], error: ValidationError) -> bool:
    """Remove fields that are null and need not be there; return whether there are any.

    Many languages write null for a field that is not set.
    """
    found = False
    for item in error.errors():
        *path, name = item["loc"] or (None,)
        model: type[BaseModel] | None = event_type
        parent = body
        for step in path:
            model, parent = _model_at(model, step), _item(parent, step)
        field = model.model_fields.get(str(name)) if model else None
        is_optional = field is not None and not field.is_required()
        if is_optional and isinstance(parent, dict) and parent.get(name, name) is None:
            del parent[name]
            found = True
    return found


def _item(parent: Any, step: Any) -> Any:
    try:
        return parent[step]
    except (LookupError, TypeError):
        return None


def _model_at(model: type[BaseModel] | None, name: Any) -> type[BaseModel] | None:
    """Return the model of a field that is an object, or may be one."""
    field = model.model_fields.get(str(name)) if model else None
    kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _json(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, or a number of 5,000 digits
        raise Malformed(f"value is not JSON: {error}; it begins {value[:40]!r}") from error


def _record_time(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC) if record.timestamp else datetime.now(UTC)


def _in_words(errors: Iterable[Any]) -> str:
    parts = [
        f"{'.'.join(str(step) for step in error['loc']) or 'value'}: {error['msg']} (got {str(error['input'])[:60]!r})"
        for error in errors
    ]
    return "; ".join(parts[:5])
