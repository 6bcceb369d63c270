"""Convert a column of JSON values, by MLflow's type, to the array that the model takes; also entity ids and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

Values = list[Any]

FLOAT32_MAX = float(np.finfo(np.float32).max)
EXACT = 2**53
"""Integers above it are not exact as a JSON number with a decimal point."""
NANOSECOND_YEARS = (1678, 2261)

NUMBERS: frozenset[type] = frozenset({float, int, type(None)})
WHOLE: frozenset[type] = frozenset({int, float})
TRUTHS: frozenset[type] = frozenset({bool})
TEXTS: frozenset[type] = frozenset({str, type(None)})
TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("double", "float"), NUMBERS),
    **dict.fromkeys(("long", "integer"), WHOLE),
    "boolean": TRUTHS,
    **dict.fromkeys(("string", "datetime"), TEXTS),
}
"""Python types of the values that a column may have, by kind."""


class TypeMismatch(Exception):
    """The value in `row` does not fit; `expected` describes what would."""

    def __init__(self, row: int, expected: str) -> None:
        super().__init__(expected)
        self.row, self.expected = row, expected


def entity_id(value: Any) -> str:
    """Return the id as text. Raises TypeMismatch for what is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise TypeMismatch(0, "an id: a string or a whole number, or null for an unknown one")
    return str(value)


def event_time(value: Any) -> datetime:
    """Return the time in UTC. Raises TypeMismatch for what is no time."""
    moment = _moment(value) if isinstance(value, str) else None
    if moment is None:
        raise TypeMismatch(0, "an ISO 8601 time, such as 2013-06-01T12:00:00-05:00, or null for an unknown one")
    return moment


def _first(values: Values, wrong: Callable[[Any], bool], expected: str) -> None:
    """Raise TypeMismatch for the first value that is wrong."""
    for row, value in enumerate(values):
        if wrong(value):
            raise TypeMismatch(row, expected)


def _only(values: Values, types: frozenset[type], expected: str) -> None:
    """Raise TypeMismatch when another type occurs."""
    if not types.issuperset(map(type, values)):
        _first(values, lambda value: type(value) not in types, expected)


def _double(values: Values) -> Any:
    _only(values, NUMBERS, "a number, or null for a missing one")
    return np.array(values, dtype=np.float64)


def _float(values: Values) -> Any:
    expected = f"a number of at most ±{FLOAT32_MAX:.3g} (float), or null for a missing one"
    _only(values, NUMBERS, expected)
    _first(values, lambda value: not _is_float(value), expected)
    return np.array(values, dtype=np.float32)


def _is_float(value: float | None) -> bool:
    return value is None or abs(value) <= FLOAT32_MAX


def _whole(dtype: Any, name: str) -> Callable[[Values], Any]:
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    expected = f"a whole number from {low} to {high} ({name}); the model takes no missing ones here"

    def read(values: Values) -> Any:
        _only(values, WHOLE, expected)
        _first(values, lambda value: not _is_whole(value, low, high), expected)
        return np.array([int(value) for value in values], dtype=dtype)

    return read


def _is_whole(value: float, low: int, high: int) -> bool:
    if type(value) is float:
        return value.is_integer() and abs(value) <= min(EXACT, high)
    return low <= value <= high


def _boolean(values: Values) -> Any:
    _only(values, TRUTHS, "true or false; the model takes no missing ones here")
    return np.array(values, dtype=np.bool_)


def _string(values: Values) -> Any:
    _only(values, TEXTS, "a string, or null for a missing one")
    return np.array(values, dtype=object)


def _datetime(values: Values) -> Any:
    expected = "an ISO 8601 time from 1678 to 2261, such as 2013-06-01T12:00:00Z, or null for a missing one"
    _only(values, TEXTS, expected)
    times: list[Any] = []
    for row, value in enumerate(values):
        moment = _moment(value) if value is not None else None
        if value is not None and not _is_nanoseconds(moment):
            raise TypeMismatch(row, expected)
        times.append(moment.replace(tzinfo=None) if moment else None)  # MLflow's datetime is naive, here UTC
    return np.array(times, dtype="datetime64[ns]")


def _is_nanoseconds(moment: datetime | None) -> bool:
    return moment is not None and NANOSECOND_YEARS[0] <= moment.year <= NANOSECOND_YEARS[1]


def _moment(text: str) -> datetime | None:
    """Parse a time as UTC, which is assumed where no zone is given; return None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


READERS: dict[str, Callable[[Values], Any]] = {
    "double": _double,
    "float": _float,
    "long": _whole(np.int64, "long"),
    "integer": _whole(np.int32, "integer"),
    "boolean": _boolean,
    "string": _string,
    "datetime": _datetime,
}

VALUE_FITS: dict[str, Callable[[Any], bool]] = {
    "float": _is_float,
    "long": lambda value: _is_whole(value, -(2**63), 2**63 - 1),
    "integer": lambda value: _is_whole(value, -(2**31), 2**31 - 1),
    "datetime": lambda value: value is None or _is_nanoseconds(_moment(value)),
}
"""Whether a value of the right type fits, by kind; for kinds not listed, the type suffices."""
