"""Validation errors of rows: each with row, field, value and expectation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rapidfuzz import fuzz, process

from chassis.model_signature import Column, Signature

Row = Mapping[str, Any]

MISSING: Any = object()
SHOWN = 80
NAMED = 20
"""Faults that a response lists; a request can have a million."""

CLOSE = 60
"""Similarity, of 100, from which a word counts as misspelt. Python's difflib would take as long as a valid request."""

NO_LABEL, NO_FIELD = "no label", "no such field"

JSON_TYPES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


_as_json = json.JSONEncoder(ensure_ascii=False).encode


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

    @property
    def reason(self) -> str:
        """Return the kind of the first fault, of a few: `missing column`, `unknown column`, `label` or `value`."""
        fault = self.faults[0]
        if fault.expected.startswith(NO_LABEL):
            return "label"
        if fault.expected.startswith(NO_FIELD):
            return "unknown column"
        return "missing column" if fault.type == json_type(MISSING) else "value"


def shown(value: Any) -> str:
    """Return the value as JSON, truncated: a client's value may be long."""
    if value is MISSING:
        return "missing"
    if isinstance(value, list | dict):
        return f"an {'array' if isinstance(value, list) else 'object'} of {len(value)}"
    text = _as_json(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def json_type(value: Any) -> str:
    return "missing" if value is MISSING else JSON_TYPES.get(type(value), type(value).__name__)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint for a misspelt word."""
    close = process.extractOne(word[:200], known, scorer=fuzz.ratio, score_cutoff=CLOSE)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known[:30])}"


def check_shape(rows: Any, max_rows: int) -> None:
    """Raise RowsRefused for what is no list of objects, empty or too long."""
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


def unknown_fields(rows: Sequence[Row], known: Set[str], signature: Signature) -> list[Fault]:
    """Return fields that are not `known`, each at its first row; as many as a response lists."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        if not row.keys() <= known:
            for name in islice((name for name in row if name not in known and name not in seen), NAMED - len(seen)):
                seen[name] = number
        if len(seen) >= NAMED:  # each costs a search for the nearest name
            break
    return [
        Fault(
            number,
            name[:SHOWN],
            shown(rows[number][name]),
            json_type(rows[number][name]),
            _why(name, signature),
        )
        for name, number in seen.items()
    ]


def _why(name: str, signature: Signature) -> str:
    if name == signature.label:
        return f"{NO_LABEL}: the truth is sent as ground truth, not as a feature"
    features = [column.name for column in signature.columns]
    return f"{NO_FIELD}: the model does not take it; {nearest(name, features)}"


def fault_of(row: int, column: Column | None, value: Any, expected: str) -> Fault:
    return Fault(row, column.name if column else None, shown(value), json_type(value), expected)
