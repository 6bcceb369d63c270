"""Durations, counts and rates in words, and rates as people write them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def duration(length: timedelta) -> str:
    """Return a duration in its largest whole unit: `90 seconds`, `3 days`."""
    seconds = length.total_seconds()
    for size, name in UNITS:
        if seconds >= size and seconds % size == 0:
            return counted(int(seconds // size), name)
    return counted(seconds, "second")


def rounded(value: float, digits: int = 2) -> str:
    """Return a number rounded up to so many digits: estimates allow no more."""
    if value <= 0:
        return "0"
    size = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    up = math.ceil(value / size - 1e-9) * size
    return f"{up:,.0f}" if size >= 1 else f"{up:g}"


def counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def rate(text: str) -> float:
    """Read `50/s`, `3000/min`, `40/h` or `1000/d`; a number alone is a second. Raises ValueError for anything else."""
    found = re.fullmatch(r"([\d_,]*\.?\d+)(?:/(s|m|min|h|d))?", text.strip())
    number = float(found[1].replace("_", "").replace(",", "")) if found else 0.0
    if found is None or not 0 < number < math.inf:
        raise ValueError(f"{text!r} is not a rate; expected for example 50/s, 3000/min, 40/h or 1000/d")
    return number / PER[found[2] or "s"]
