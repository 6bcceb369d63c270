"""Labelled rows as a Parquet file that the gatekeeper reads as it reads golden rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drift.database.window_rows import LabelledRow

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_INTEGER, LARGEST_FLOAT = 2**63 - 1, sys.float_info.max


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are no features."""

    label: str
    event_time: str
    entity: str | None


def columns_of(rows: Sequence[LabelledRow], label: str | None, entity: str | None) -> Columns:
    """Choose names. `label` and `entity`: as the model's policy or promotion names them; a feature of one of these
    names is that column itself."""
    features = set().union(*(row.features for row in rows))
    has_entity = entity in features or any(row.entity is not None for row in rows)
    taken = features | {name for name in (label, entity) if name}
    return Columns(
        label=label or _free("label", taken),
        event_time=_free("event_time", taken),
        entity=(entity or _free("entity", taken)) if has_entity else None,
    )


def write(rows: Sequence[LabelledRow], columns: Columns, path: Path) -> None:
    """Write features, label, entity and time; the file names the roles of its columns, as `gauntlet golden` does.

    A column of mixed values becomes text, as in JSON: there is no other type for it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row.features))
    found: dict[str, Any] = {
        name: column_of(row.features.get(name) for row in rows) for name in names if name != columns.label
    }
    if columns.entity is not None and columns.entity not in found:
        # A row without an entity is one of its own: equal values would make one entity of all of them.
        known = (row.entity or f"row {number} without entity" for number, row in enumerate(rows))
        found[columns.entity] = pa.array(list(known), pa.string())
    found[columns.event_time] = pa.array([row.at for row in rows], pa.timestamp("us", tz="UTC"))
    found[columns.label] = column_of(row.truth for row in rows)
    roles = {"label": columns.label, "event_time": columns.event_time, "entity": columns.entity}
    about = json.dumps({role: name for role, name in roles.items() if name is not None})
    pq.write_table(pa.table(found).replace_schema_metadata({b"gauntlet": about.encode()}), path)


def column_of(values: Iterable[Any]) -> pa.Array:
    """Return the values as one Arrow type: booleans, integers, numbers or text."""
    import pyarrow as pa

    every = list(values)
    kinds = {type(value) for value in every if value is not None}
    if kinds == {bool}:
        return pa.array(every, pa.bool_())
    if kinds == {int} and all(value is None or abs(value) <= LARGEST_INTEGER for value in every):
        return pa.array(every, pa.int64())
    if kinds and kinds <= {int, float} and all(value is None or abs(value) <= LARGEST_FLOAT for value in every):
        return pa.array([None if value is None else float(value) for value in every], pa.float64())
    return pa.array([None if value is None else _text(value) for value in every], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
