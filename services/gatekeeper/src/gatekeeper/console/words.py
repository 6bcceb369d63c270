"""How times and durations are written for people."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def utc(at: datetime | None) -> str:
    """Return a time to the second, in UTC; a dash for none."""
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def age(at: datetime | None, now: datetime) -> str:
    """Return how long ago a time was, or in how long it is: "3 min ago", "in 2 h", "just now"; a dash for none."""
    if at is None:
        return "–"
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float | None) -> str:
    """Return a duration in its largest unit: "45 s", "3 min", "5 h", "12 d"; below a second in ms; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    size, unit = next(each for each in UNITS if seconds >= each[0])
    return f"{int(seconds // size)} {unit}"
