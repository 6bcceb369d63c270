"""Read the rows of a request, by the model's signature, into the model's input.

A row whose combination of types is known to fit costs a few microseconds. Every other row is read column by column,
slowly, with an exact report of what does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from chassis.column_types import READERS, TYPES, VALUE_FITS, TypeMismatch, entity_id, event_time
from chassis.model_signature import Column, Signature
from chassis.row_validation import MISSING, Fault, Row, RowsRefused, check_shape, fault_of, unknown_fields

if TYPE_CHECKING:
    import pandas as pd

Values = tuple[Any, ...]

MOST_KNOWN = 1024
"""Combinations of types that are remembered; further ones are read slowly, and take no memory."""


@dataclass(frozen=True, slots=True)
class InputBatch:
    """`values`: one tuple a row, in the order of `columns`, the model's without optional ones that no row has.

    `entities` and `event_times` have one item a row, or are empty.
    """

    columns: tuple[Column, ...]
    values: Sequence[Values]
    sent: Sequence[Row]
    entities: Sequence[str | None] = ()
    event_times: Sequence[datetime | None] = ()

    def __len__(self) -> int:
        return len(self.values)

    def picked(self, rows: Sequence[int]) -> InputBatch:
        """Return only these rows, by their numbers."""
        values = [self.values[row] for row in rows]
        sent = [self.sent[row] for row in rows] if self.sent else ()
        entities = [self.entities[row] for row in rows] if self.entities else ()
        event_times = [self.event_times[row] for row in rows] if self.event_times else ()
        return InputBatch(self.columns, values, sent, entities, event_times)

    @property
    def frame(self) -> pd.DataFrame:
        """A new frame each time: a model may write into it."""
        return frame_of(self.columns, self.values)

    @property
    def nulls(self) -> tuple[tuple[int, Column], ...]:
        """The first row with a missing value, for each column that has any."""
        found = []
        for place, column in enumerate(self.columns):
            first = next((number for number, row in enumerate(self.values) if row[place] is None), None)
            if first is not None:
                found.append((first, column))
        return tuple(found)


def frame_of(columns: Sequence[Column], values: Sequence[Values]) -> pd.DataFrame:
    """Build the frame that a pyfunc takes from values that fit. `values` has at least one row."""
    import pandas as pd  # the only use on this side of a loaded model, which has imported it

    arrays = {
        column.name: READERS[column.kind](list(given))
        for column, given in zip(columns, zip(*values, strict=True), strict=True)
    }
    return pd.DataFrame(arrays, index=pd.RangeIndex(len(values)), copy=False)


class RowReader:
    """Reads the rows of one model. Any number of threads may use it."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._names = [column.name for column in signature.columns]
        self._pick = _picker(self._names)
        self._checked = [
            (place, VALUE_FITS[column.kind])
            for place, column in enumerate(signature.columns)
            if column.kind in VALUE_FITS
        ]
        self._allowed = [(column, TYPES[column.kind], VALUE_FITS.get(column.kind)) for column in signature.columns]
        self._id_columns = [name for name in (signature.entity, signature.event_time) if name]
        self._apart = [name for name in dict.fromkeys(self._id_columns) if name not in self._names]
        self._fields = frozenset((*self._names, *self._id_columns))
        self._known: set[tuple[type, ...]] = set()

    def read(self, rows: Any, max_rows: int) -> InputBatch:
        """Read `rows`: objects; or arrays, for a model that takes a matrix.

        Raises RowsRefused with every column's first fault.
        """
        if self._signature.is_tensor:
            rows = self._by_position(rows)
        check_shape(rows, max_rows)
        values = self._quick(rows)
        if values is None:
            return self._careful(rows)
        if not self._id_columns:
            return InputBatch(self._signature.columns, values, rows)
        faults: list[Fault] = []
        ids_and_times = self._read_ids_and_times(rows, faults)
        if faults:
            raise _refusal(faults)
        return InputBatch(self._signature.columns, values, rows, *ids_and_times)

    def knows(self, name: Any) -> bool:
        """Return whether a row may have a field of this name."""
        return name in self._fields

    def fits(self, values: Values) -> bool:
        """Return whether a row fits, given as a tuple in the order of the columns and of types seen before."""
        if tuple(map(type, values)) not in self._known:
            return False
        return all(fits(values[place]) for place, fits in self._checked)

    def _by_position(self, rows: Any) -> Any:
        """Name the values of rows that are arrays."""
        if not isinstance(rows, list) or not any(isinstance(row, list) for row in rows):
            return rows
        width = len(self._names)
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != width:
                raise RowsRefused([fault_of(number, None, row, f"an array of {width} values, like the other rows")])
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    def _quick(self, rows: Sequence[Row]) -> list[Values] | None:
        """Read rows on the fast path; return None when a row is not certain to fit."""
        values: list[Values] = []
        width = len(self._names)
        for row in rows:
            if len(row) != width and len(row) != width + sum(name in row for name in self._apart):
                return None
            try:
                found = self._pick(row)
            except KeyError:
                return None
            if not self.fits(found):
                return None
            values.append(found)
        return values

    def _careful(self, rows: Sequence[Row]) -> InputBatch:
        faults = unknown_fields(rows, self._fields, self._signature)
        present: list[Column] = []
        by_column: list[Values] = []
        sent = [[row.get(name, MISSING) for name in self._names] for row in rows]
        for (column, types, fits), given in zip(self._allowed, zip(*sent, strict=True), strict=True):
            values = given
            if not column.required and MISSING in given:
                if all(value is MISSING for value in given):
                    continue
                values = tuple(None if value is MISSING else value for value in given)
            if not types.issuperset(map(type, values)) or not (fits is None or all(map(fits, values))):
                faults.append(_first_fault(column, list(values)))
            present.append(column)
            by_column.append(values)
        ids_and_times = self._read_ids_and_times(rows, faults)
        if faults:
            raise _refusal(faults)
        values_of_rows = list(zip(*by_column, strict=True))
        if len(present) == len(self._names) and len(self._known) < MOST_KNOWN:
            self._known.update(tuple(map(type, row)) for row in values_of_rows[:MOST_KNOWN])
        columns = self._signature.columns if len(present) == len(self._names) else tuple(present)
        return InputBatch(columns, values_of_rows or [()] * len(rows), rows, *ids_and_times)

    def _read_ids_and_times(self, rows: Sequence[Row], faults: list[Fault]) -> tuple[list[Any], list[Any]]:
        """The columns that travel beside the features: who, and when."""
        entities = self._read_one(self._signature.entity, entity_id, rows, faults)
        return entities, self._read_one(self._signature.event_time, event_time, rows, faults)

    def _read_one(
        self, name: str | None, one: Callable[[Any], Any], rows: Sequence[Row], faults: list[Fault]
    ) -> list[Any]:
        """Read one such column; return an empty list when no row has it."""
        if name is None or not any(name in row for row in rows):
            return []
        found = []
        for number, row in enumerate(rows):
            value = row.get(name)
            try:
                found.append(None if value is None else one(value))
            except TypeMismatch as unfit:
                if name not in self._names:  # otherwise its fault is reported already
                    faults.append(fault_of(number, Column(name, ""), value, unfit.expected))
                return []
        return found


def _refusal(faults: list[Fault]) -> RowsRefused:
    return RowsRefused(sorted(faults, key=lambda fault: (fault.row or 0, fault.field or "")))


def _first_fault(column: Column, values: list[Any]) -> Fault:
    try:
        READERS[column.kind](values)
    except TypeMismatch as unfit:
        return fault_of(unfit.row, column, values[unfit.row], unfit.expected)
    raise AssertionError(f"{column.kind} reads what does not fit it: {values!r:.200}")


def _picker(names: Sequence[str]) -> Callable[[Row], Values]:
    if len(names) == 1:
        (name,) = names
        return lambda row: (row[name],)
    return itemgetter(*names) if names else lambda _row: ()
