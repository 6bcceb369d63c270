"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

MOST_SECONDS = 1e12
LONGEST_DAYS = 366
"""A larger number without a unit is taken for seconds."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Parse `1h`, `30m`, `10s`, `2d` in addition to pydantic's own formats.

    A number is seconds, as stored documents have it; where a person wrote it (the context says so), it has no unit.
    """
    if (number := _number(value)) is not None:
        if number and info.context:
            likely = f"{number:g}{'d' if number <= LONGEST_DAYS else 's'}"
            raise ValueError(f"a duration needs its unit (d, h, m or s); expected for example {likely}")
        value = timedelta(seconds=number) if abs(number) < MOST_SECONDS else value
        return handler(value)
    if isinstance(value, str) and value[-1:] in UNITS and value[:-1].replace(".", "", 1).isdigit():
        try:
            return handler(timedelta(**{UNITS[value[-1]]: float(value[:-1])}))
        except OverflowError:
            raise ValueError(f"{value} is longer than any duration; expected for example 7d") from None
    try:
        return handler(value)
    except ValidationError:
        raise ValueError("not a duration; expected for example 30s, 10m, 24h or 7d") from None


def _number(value: Any) -> float | None:
    """Return a number, also as a text."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


Duration = Annotated[timedelta, WrapValidator(_duration)]


def about(seconds: float) -> str:
    """Return a duration to two digits at most: `4 min`, `2.5 h`, `12 d`."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 1.95 * size:
            return f"{_two_digits(seconds / size)} {name}"
    return f"{_two_digits(seconds)} s" if seconds >= 1 else "at once"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"


def written(length: timedelta) -> str:
    """Format in the largest unit that leaves no fraction: 7d, 90m."""
    seconds = length.total_seconds()
    for unit, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds / unit:g}{letter}"
    return f"{seconds:g}s"
