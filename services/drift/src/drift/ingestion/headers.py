"""The CloudEvents attributes of a message whose headers are written as usual: read without building an envelope."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from contracts import MODEL_NAME_PATTERN
from contracts.cloudevents import LONGEST, Headers

USUAL = frozenset(
    {
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_subject",
        "ce_correlationid",
        "ce_causationid",
        "traceparent",
        "content-type",
    }
)
JSON = b"application/json"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def time_of(headers: Headers, event_type: bytes) -> datetime | None:
    """Return when the event was made; None where its attributes are not the usual ones, or are not valid."""
    found = dict(headers)
    if not USUAL.issuperset(found) or found.get("ce_type") != event_type:
        return None
    own_id, source, time = found.get("ce_id"), found.get("ce_source"), found.get("ce_time")
    if (
        not own_id
        or not source
        or time is None
        or found.get("content-type", b"application/json") != b"application/json"
    ):
        return None
    try:
        text = b"".join(found.values())  # type: ignore[arg-type]  # None raises
    except TypeError:
        return None
    if not text.isascii() or b"\0" in text:
        return None
    if len(own_id) > LONGEST["ce_id"] or len(source) > LONGEST["ce_source"]:
        return None
    return _parsed(time)


def plain_time(value: object) -> datetime | None:
    """Return a time that is written as in `2026-03-01T12:00:00.5Z`; None for any other."""
    if type(value) is not str or TIME.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def is_model_name(name: str) -> bool:
    return re.search(MODEL_NAME_PATTERN, name) is not None and not name.endswith("\n")


@lru_cache(maxsize=4096)
def _parsed(time: bytes) -> datetime | None:
    found = plain_time(time.decode())
    return None if found is None else found.astimezone(UTC)
