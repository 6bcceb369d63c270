"""Rows as they were sent, read column by column into what the model takes; what does not fit is named exactly."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from serving.kinds import READERS, Unfit, entity_id, event_time
from serving.signature import Column, Signature

Row = Mapping[str, Any]

MISSING: Any = object()
SHOWN = 80
NAMED = 20
"""Faults that an answer lists; a request can have a million."""

JSON_TYPES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the rows; `row` counts from zero and is None for a fault of the request as a whole."""

    row: int | None
    field: str | None
    value: str
    type: str
    expected: str

    def __str__(self) -> str:
        place = "rows" if self.row is None else f"rows[{self.row}]"
        place += f".{self.field}" if self.field else ""
        return f"{place} is {self.value}; expected {self.expected}"


class RowsRefused(Exception):
    """The rows do not fit the model's signature."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults[:NAMED])
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}")


@dataclass(frozen=True, slots=True)
class Table:
    """`frame` has the model's columns in its order; `entities` and `event_times` one item a row, or are empty."""

    frame: pd.DataFrame
    sent: Sequence[Row]
    nulls: tuple[tuple[int, str], ...]
    """Where a value is missing, the first row of each column."""
    entities: Sequence[str | None] = ()
    event_times: Sequence[datetime | None] = ()


def read_rows(rows: Any, signature: Signature, max_rows: int) -> Table:
    """Raises RowsRefused with every column's first fault."""
    _check_shape(rows, max_rows)
    faults = _unknown(rows, signature)
    nulls: list[tuple[int, str]] = []
    arrays: dict[str, Any] = {}
    for column in signature.columns:
        values = [row.get(column.name, MISSING) for row in rows]
        if not column.required:
            if all(value is MISSING for value in values):
                continue
            values = [None if value is MISSING else value for value in values]
        try:
            arrays[column.name] = READERS[column.kind](values)
        except Unfit as unfit:
            faults.append(_fault(unfit.row, column, values[unfit.row], unfit.expected))
        if None in values:
            nulls.append((values.index(None), column.name))
    beside = _Beside(signature, rows, faults)
    entities = beside.read(signature.entity, entity_id)
    event_times = beside.read(signature.event_time, event_time)
    if faults:
        raise RowsRefused(sorted(faults, key=lambda fault: (fault.row or 0, fault.field or "")))
    return Table(
        pd.DataFrame(arrays, index=pd.RangeIndex(len(rows)), copy=False), rows, tuple(nulls), entities, event_times
    )


def shown(value: Any) -> str:
    """As JSON, cut short: what somebody sent may be long."""
    if value is MISSING:
        return "missing"
    if isinstance(value, list | dict):
        return f"an {'array' if isinstance(value, list) else 'object'} of {len(value)}"
    text = json.dumps(value[: SHOWN + 1] if isinstance(value, str) else value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def json_type(value: Any) -> str:
    return "missing" if value is MISSING else JSON_TYPES.get(type(value), type(value).__name__)


def nearest(word: str, known: Sequence[str]) -> str:
    """A sentence that helps with a misspelt word."""
    close = difflib.get_close_matches(word[:200], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known[:30])}"


def _check_shape(rows: Any, max_rows: int) -> None:
    if not isinstance(rows, list):
        raise RowsRefused([Fault(None, None, shown(rows), json_type(rows), "an array of objects, one a row")])
    if not rows:
        raise RowsRefused([Fault(None, None, "empty", "array", "at least one row")])
    if len(rows) > max_rows:
        limit = f"at most {max_rows:,} rows a request (SERVING_MAX_ROWS)"
        raise RowsRefused([Fault(None, None, f"an array of {len(rows):,}", "array", limit)])
    if set(map(type, rows)) != {dict}:
        bad = next(number for number, row in enumerate(rows) if type(row) is not dict)
        expected = "an object with the model's features"
        raise RowsRefused([Fault(bad, None, shown(rows[bad]), json_type(rows[bad]), expected)])


def _unknown(rows: Sequence[Row], signature: Signature) -> list[Fault]:
    features = [column.name for column in signature.columns]
    known = {*features, *(name for name in (signature.entity, signature.event_time) if name)}
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        if not row.keys() <= known:
            for name in row.keys() - known:
                seen.setdefault(name, number)
        if len(seen) > NAMED:
            break
    return [
        Fault(
            number,
            name[:SHOWN],
            shown(rows[number][name]),
            json_type(rows[number][name]),
            _why(name, signature, features),
        )
        for name, number in seen.items()
    ]


def _why(name: str, signature: Signature, features: Sequence[str]) -> str:
    if name == signature.label:
        return "no label: the truth is sent as ground truth, not as a feature"
    return f"no such field: the model does not take it; {nearest(name, features)}"


def _fault(row: int, column: Column, value: Any, expected: str) -> Fault:
    return Fault(row, column.name, shown(value), json_type(value), expected)


class _Beside:
    """Reads the columns that travel beside the features: who, and when."""

    def __init__(self, signature: Signature, rows: Sequence[Row], faults: list[Fault]) -> None:
        self._features = {column.name for column in signature.columns}
        self._rows = rows
        self._faults = faults

    def read(self, name: str | None, one: Callable[[Any], Any]) -> list[Any]:
        """Nothing when no row has it."""
        if name is None or not any(name in row for row in self._rows):
            return []
        found = []
        for number, row in enumerate(self._rows):
            value = row.get(name)
            try:
                found.append(None if value is None else one(value))
            except Unfit as unfit:
                if name not in self._features:  # its own fault is named already
                    self._faults.append(Fault(number, name, shown(value), json_type(value), unfit.expected))
                return []
        return found
