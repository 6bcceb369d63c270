"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator


def _duration(value: Any) -> Any:
    """Parse `1h`, `30m`, `10s`, `2d` in addition to pydantic's own formats."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if isinstance(value, str) and value[-1:] in units and value[:-1].replace(".", "", 1).isdigit():
        return timedelta(**{units[value[-1]]: float(value[:-1])})
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
