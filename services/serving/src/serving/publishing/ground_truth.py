"""Read ground truth, as clients send it, into events: the same label sent twice is the same event."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from chassis.column_types import TypeMismatch, entity_id, event_time
from chassis.row_validation import MISSING, NAMED, Fault, json_type, nearest, shown
from contracts import GroundTruthReceived, content_id, new_envelope
from contracts.cloudevents import Encoded, encode
from serving.publishing.prediction_events import SOURCE

FIELDS = ("request_id", "row", "entity_id", "label", "event_time")
LONGEST = 1000
LARGEST_ROW = 2**31 - 1
ONE_OF = "request_id (and row) of a prediction, or entity_id"


class GroundTruthRejected(Exception):
    """Items are invalid. `faults`: one an item; their `row` is the number of the item."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults):,} items are wrong")
        self.faults, self.count = tuple(faults[:NAMED]), len(faults)


def read_items(model_name: str, items: list[Any]) -> list[GroundTruthReceived]:
    """Read items into events. Raises GroundTruthRejected with each item's first fault."""
    events, faults = [], []
    for number, item in enumerate(items):
        found = _read(item)
        if isinstance(found, dict):
            events.append(GroundTruthReceived(model_name=model_name, **found))
        else:
            faults.append(Fault(number, *found))
    if faults:
        raise GroundTruthRejected(faults)
    return events


def encoded(event: GroundTruthReceived) -> Encoded:
    """Encode an event. The id is derived from the content, so that a client's retry is no second event."""
    own_id = content_id(event.type, event.model_name.encode(), event.model_dump_json().encode())
    return encode(new_envelope(event, source=SOURCE, event_id=own_id, correlation_id=event.request_id))


def _read(item: Any) -> dict[str, Any] | tuple[str | None, str, str, str]:
    """Return the event's fields; or the fault: field, value, type, expectation."""
    if not isinstance(item, dict):
        return None, shown(item), json_type(item), 'an object such as {"request_id": "…", "row": 0, "label": 1}'
    for name in item:
        if name not in FIELDS:
            return name[:80], shown(item[name]), json_type(item[name]), f"no such field; {nearest(name, FIELDS)}"
    given = {name: value for name, value in item.items() if value is not None or name == "label"}
    fault = _ambiguity(given)
    if fault is not None:
        return fault
    found: dict[str, Any] = {}
    for name in ("label", *(name for name in given if name != "label")):
        value = given.get(name, MISSING)
        try:
            found[name] = READERS[name](value)
        except TypeMismatch as unfit:
            return name, shown(value), json_type(value), unfit.expected
    return found


def _ambiguity(given: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    if "request_id" not in given and "entity_id" not in given:
        return "request_id", "missing", "missing", ONE_OF
    for name in ("entity_id", "row"):
        if name in given and ("request_id" in given) == (name == "entity_id"):
            return name, shown(given[name]), json_type(given[name]), f"either {ONE_OF}"
    return None


def _request_id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise TypeMismatch(0, f"the request_id of an answer: a string of 1 to {LONGEST:,} characters")
    return value


def _row(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_ROW:
        raise TypeMismatch(0, "which row of the request, a whole number that counts from 0")
    return value


def _entity_id(value: Any) -> str:
    found = entity_id(value)
    if len(found) > LONGEST:
        raise TypeMismatch(0, f"an id of at most {LONGEST:,} characters")
    return found


def _label(value: Any) -> Any:
    is_scalar = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    if not is_scalar and not (isinstance(value, str) and len(value) <= LONGEST):
        raise TypeMismatch(0, f"what really happened: a class or a number, a string of at most {LONGEST:,} characters")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "label": _label,
    "request_id": _request_id,
    "row": _row,
    "entity_id": _entity_id,
    "event_time": event_time,
}
