"""What a gate shows of its verdict in the report, besides outcome and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import GateVerdict


@dataclass(frozen=True)
class Interval:
    """A measured value with its confidence bounds, and what it is held against."""

    label: str
    value: float
    lower: float
    upper: float
    bound: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows under headings; cells are text or numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Section:
    intervals: tuple[Interval, ...] = ()
    tables: tuple[Table, ...] = ()
    to_pass: str | None = None
    """What would have to be true for this gate to pass."""


def plain(verdict: GateVerdict) -> Section:
    """For a gate that has nothing to draw."""
    return Section()
