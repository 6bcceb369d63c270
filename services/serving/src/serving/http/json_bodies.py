"""JSON bodies of the native protocol: an object; the model's name may be in it or in the path."""

from __future__ import annotations

from typing import Any

import orjson

from chassis.http import Problem
from chassis.row_validation import Fault, json_type, nearest, shown
from serving.http.prediction_service import invalid

LARGE = 64 * 1024
"""Bodies above it are parsed in a thread: they would block the event loop for half a millisecond or more."""


def object_of(body: bytes, example: str) -> dict[str, Any]:
    """Parse a JSON object. Raises Problem 422 for what is no JSON, or no object; its text shows `example`."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Problem(422, "invalid JSON", detail, position=error.pos, line=error.lineno, column=error.colno) from None
    if not isinstance(fields, dict):
        fault = Fault(None, None, shown(fields), json_type(fields), f"an object such as {example}")
        raise invalid(fault, f"the body is {fault.value}; expected {fault.expected}")
    return fields


def unknown(name: str, value: Any, known: tuple[str, ...]) -> Problem:
    """Return the Problem for a field that the body must not have."""
    fault = Fault(None, name[:80], shown(value), json_type(value), f"one of: {', '.join(known)}")
    return invalid(fault, f"unknown field {shown(name)}; {nearest(name, known)}")


def wrong(name: str, value: Any, expected: str) -> Problem:
    """Return the Problem for a field with a wrong value, which may be `MISSING`."""
    fault = Fault(None, name, shown(value), json_type(value), expected)
    return invalid(fault, f"{name} is {fault.value}; expected {expected}")


def model_of(fields: dict[str, Any], in_path: str | None) -> str | None:
    """Return the model named in the body or in the path, if any."""
    named = fields.get("model")
    if named is None:
        return in_path
    if not isinstance(named, str):
        raise wrong("model", named, "the name of a model, a string")
    if in_path is not None and named != in_path:
        raise wrong("model", named, f"{in_path!r}, as in the path, or nothing")
    return named
