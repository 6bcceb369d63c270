"""The section of a gate's verdict in the report, besides outcome and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import GateVerdict


@dataclass(frozen=True)
class Interval:
    """A measured value with its confidence bounds, and the bound that it is compared with."""

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


def cell(value: Any) -> str:
    """Write a figure for people: a number with four significant figures, a count with commas, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Section:
    intervals: tuple[Interval, ...] = ()
    tables: tuple[Table, ...] = ()
    to_pass: str | None = None
    """Condition for this gate to pass."""


def plain(verdict: GateVerdict) -> Section:
    """Return an empty section."""
    return Section()
