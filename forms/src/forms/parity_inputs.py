"""Rows that exercise likely errors of a compiled model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from forms.form import Column, Row

NULLABLE = ("double", "float", "string", "datetime")
EXTREMES: dict[str, tuple[Any, ...]] = {
    "double": (0.0, -0.0, -1.0, 1.0, 0.1, 1e-12, 1e-300, -1e-300, 1e6, -1e6, 1e15, -1e15, 1e30, 16777217.0),
    "float": (0.0, -0.0, -1.0, 1.0, 1e-12, 1e6, -1e6, 1e15),
    "long": (0, 1, -1, 255, 256, 16777217, -16777217, 2**31, 2**53 + 1, -(2**53) - 1),
    "integer": (0, 1, -1, 255, 256, 16777217, 2**31 - 1, -(2**31)),
    "boolean": (False, True),
    "string": ("", " ", "never seen before", "né", "0", "nan", "None"),
    "datetime": (),
}


def parity_rows(rows: Sequence[Row], columns: Sequence[Column], limit: int = 500, seed: int = 0) -> list[Row]:
    """Return at most `limit` rows derived from `rows`; deterministic for a `seed`.

    In turn: a column missing (where its type allows it), an extreme or unseen value, the neighbours of a value in
    double and in single precision, a value of another row, and all of this in several columns at once.
    """
    if not rows or not columns:
        return []
    chance = random.Random(seed)
    values = [_tries([row[place] for row in rows[:1000]], column) for place, column in enumerate(columns)]
    single = [(place, value) for place, tries in enumerate(values) for value in tries]
    chance.shuffle(single)
    missing = [(place, None) for place, column in enumerate(columns) if column.kind in NULLABLE]
    found: list[Row] = []
    for place, value in [*missing, *single[: max(0, limit // 2 - len(missing))]]:
        found.append(_with(chance.choice(rows), {place: value}))
    while len(found) < limit:
        others = {place: chance.choice(rows)[place] for place in range(len(columns))}
        changed = chance.sample(range(len(columns)), chance.randint(1, len(columns)))
        tried = {place: chance.choice(values[place]) for place in changed if values[place]}
        found.append(_with(chance.choice(rows), others | tried if chance.random() < 0.5 else tried))
    return found[:limit]


def _with(row: Row, changes: dict[int, Any]) -> Row:
    return tuple(changes.get(place, value) for place, value in enumerate(row))


def _tries(values: Sequence[Any], column: Column) -> list[Any]:
    tries = list(EXTREMES.get(column.kind, ()))
    if column.kind in NULLABLE:
        tries.append(None)
    known = [value for value in dict.fromkeys(values) if value is not None and value == value][:50]
    if column.kind == "double":
        for value in map(float, known):
            rounded = float(np.float32(value))
            tries += [value, np.nextafter(value, np.inf).item(), np.nextafter(value, -np.inf).item(), rounded]
            tries += [float(np.nextafter(np.float32(value), np.float32(side))) for side in (np.inf, -np.inf)]
            tries.append(-value)
    else:
        tries += known
    if column.kind in ("long", "integer"):
        low, high = (-(2**63), 2**63 - 1) if column.kind == "long" else (-(2**31), 2**31 - 1)
        tries += [value + step for value in known for step in (-1, 1) if low <= value + step <= high]
    if column.kind == "string":
        tries += [value.upper() for value in known] + [f"{value} " for value in known[:3]]
    return tries
