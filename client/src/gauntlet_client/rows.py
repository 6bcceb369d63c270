"""Rows as serving takes them, from what programs have: dicts, columns, a numpy array, a pandas or polars frame.

None of these libraries is imported: what a value is, its own methods say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from gauntlet_client.errors import ClientError

PLAIN = (str, bool, int)


def rows_of(data: Any) -> list[Any]:
    """Return objects by name of the column, or arrays for a matrix. Raises ClientError for what are no rows.

    A missing value (None, NaN, NaT, pandas' NA) is null, as serving has it. An infinite number is refused: JSON has
    none, and no model is tried with one.
    """
    found = _raw(data)
    if not found:
        raise ClientError("there are no rows to predict", "Give at least one row.")
    return [_row(row, number) for number, row in enumerate(found)]


def _raw(data: Any) -> list[Any]:
    if hasattr(data, "to_dicts"):  # polars
        return list(data.to_dicts())
    if hasattr(data, "columns") and hasattr(data, "itertuples"):  # pandas
        names = list(data.columns)
        return [dict(zip(names, row, strict=True)) for row in data.itertuples(index=False, name=None)]
    if hasattr(data, "tolist"):  # numpy
        return _matrix(data)
    if isinstance(data, Mapping):
        return _columns(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return list(data)
    raise ClientError(
        f"rows cannot be made of a {type(data).__name__}",
        "Give a list of dicts, a dict of columns, a numpy array or a data frame.",
    )


def _matrix(data: Any) -> list[Any]:
    if getattr(data.dtype, "names", None):  # a structured array
        return [dict(zip(data.dtype.names, row, strict=True)) for row in data.tolist()]
    if data.ndim != 2:
        raise ClientError(
            f"an array of {data.ndim} dimensions is no table of rows", "Give one of two: rows and columns."
        )
    return list(data.tolist())


def _columns(data: Mapping[str, Any]) -> list[Any]:
    columns = {name: values.tolist() if hasattr(values, "tolist") else values for name, values in data.items()}
    for name, values in columns.items():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise ClientError(
                f"column {name!r} is {values!r}, and no sequence of values",
                "Of columns each has a value a row; a single row is given as [row].",
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ClientError(f"the columns have different lengths: {lengths}", "Give as many values in each.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _row(row: Any, number: int) -> Any:
    if isinstance(row, Mapping):
        return {str(name): plain(value, f"row {number}, column {name!r}") for name, value in row.items()}
    if hasattr(row, "tolist"):
        row = row.tolist()
    if isinstance(row, list | tuple):
        return [plain(value, f"row {number}, position {place}") for place, value in enumerate(row)]
    raise ClientError(f"row {number} is a {type(row).__name__}", "A row is a dict, or a list for a matrix.")


def plain(value: Any, where: str) -> Any:
    """Return a value as JSON has it. Raises ClientError for one that it has not."""
    if value is None or isinstance(value, PLAIN):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ClientError(f"{where} is {value}", "JSON has no infinite numbers: leave the row out, or bound it.")
        return None if math.isnan(value) else float(value)
    if isinstance(value, date):  # and datetime, pandas' Timestamp; NaT is not equal to itself
        return value.isoformat() if _is_itself(value) else None
    if not _is_itself(value):
        return None
    if hasattr(value, "tolist"):  # a number or an array of numpy
        return plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [plain(each, where) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each, where) for name, each in value.items()}
    raise ClientError(f"{where} is a {type(value).__name__}, {value!r}", "Give numbers, texts, booleans or times.")


def _is_itself(value: Any) -> bool:
    """Return False for a missing value: NaT differs from itself, and of NA no truth is known."""
    try:
        return bool(value == value)
    except (TypeError, ValueError):
        # NA says that it has no truth; an array of several that it has many.
        return hasattr(value, "__len__")
