"""How labels are read: the golden rows of a gate and the ground truth of production, by the same rules.

A class is the same class however it is written: 1, 1.0, True, "1", "1.0", "true" and numpy's 1. A binary model's
positive class is the second of its classes; without classes they are 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

UNKNOWN = -1
BINARY: tuple[Any, ...] = (0, 1)


class ClassLabels:
    """The classes of a classifier, by which labels and predicted classes become class numbers."""

    def __init__(self, names: Sequence[Any]) -> None:
        self.names = tuple(names)
        self._numbers = {canonical(name): number for number, name in enumerate(self.names)}
        spellings = [_other_spelling(canonical(name)) for name in self.names]
        # "true" is read as 1 only where that is the only class it can be.
        self._other = {text: at for at, text in enumerate(spellings) if text and spellings.count(text) == 1}

    def number(self, value: Any) -> int:
        """Return the class number of a value, UNKNOWN (-1) for a value that is none of the classes, or missing."""
        text = canonical(value)
        if text is None:
            return UNKNOWN
        found = self._numbers.get(text)
        return self._other.get(_other_spelling(text) or "", UNKNOWN) if found is None else found

    def numbers(self, values: Iterable[Any]) -> list[int]:
        return [self.number(value) for value in values]

    def with_others(self, values: Iterable[Any]) -> ClassLabels:
        """Add the values that are no class of these yet, ordered by their text; missing values are left out."""
        unknown = (value for value in values if self.number(value) == UNKNOWN)
        others = {text: value for value in unknown if (text := canonical(value)) is not None}
        return ClassLabels((*self.names, *(others[text] for text in sorted(others))))


def in_order(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the distinct classes among `values`: numbers by size, then all others by their text."""
    found = {text: value for value in values if (text := canonical(value)) is not None}
    size = {text: math.inf if (of_it := number(text)) is None else of_it for text in found}
    return tuple(found[text] for text in sorted(found, key=lambda text: (size[text], text)))


def canonical(value: Any) -> str | None:
    """Return the text by which a class is compared; None for a missing value."""
    value = _plain(value)
    if is_missing(value):
        return None
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number(value: Any) -> float | None:
    """Return a label as a finite number; None for what is none: a word, a time, a missing value, infinity."""
    value = _plain(value)
    if is_missing(value) or isinstance(value, bytes) or (isinstance(value, str) and "_" in value):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def is_missing(value: Any) -> bool:
    """None, NaN, and pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    """Convert a scalar of numpy to Python's; a time becomes its text: `item` would return nanoseconds."""
    if type(value).__module__ != "numpy":
        return value
    return str(value) if type(value).__name__ in ("datetime64", "timedelta64") else value.item()


def _other_spelling(text: str | None) -> str | None:
    """Return 1 for "true", "True " and "1.0"; a class that is a word keeps its case, without blanks around it."""
    if text is None:
        return None
    text = text.strip()
    if text.lower() in ("true", "false"):
        return str(int(text.lower() == "true"))
    found = number(text)
    return str(int(found)) if found is not None and found.is_integer() and abs(found) < 2**53 else text
