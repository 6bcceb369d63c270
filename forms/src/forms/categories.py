"""Tabulates a fitted categorical encoder by calling it once per value, instead of reimplementing its rules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from forms.encoder import Table, dense
from forms.form import Column, Unsupported

DTYPES = {"double": "float64", "long": "int64", "integer": "int32", "boolean": "bool", "string": "object"}
"""dtypes of the columns at the model. MLflow's float is left out: categories are looked up by exact value."""

NULLABLE = ("double", "string")


def tables(
    transformer: Any,
    columns: Sequence[Column],
    categories: Sequence[Any],
    code: Callable[[np.ndarray, int], float],
) -> list[Table]:
    """Return one table per column. `transformer` takes all `columns`; `categories`: its known values per column.

    `code(output, column)` reads a column's code from the transformer's output for one row, (width,).
    Raises Unsupported for columns that a table cannot represent.
    """
    for column in columns:
        if column.kind not in DTYPES:
            raise Unsupported(f"column {column.name!r} of type {column.kind} is used as a category")
    known = [_known(values, column) for values, column in zip(categories, columns, strict=True)]
    usual = [values[0] for values in known]
    found = []
    for place, (column, values) in enumerate(zip(columns, known, strict=True)):

        def asked(values: Sequence[Any], place: int = place) -> list[float]:
            arrays = {
                other.name: _array([usual[at]] * len(values) if at != place else values, other.kind)
                for at, other in enumerate(columns)
            }
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about feature names and unknown categories, both expected
                answered = dense(transformer.transform(pd.DataFrame(arrays)))
            return [code(row, place) for row in answered]

        others = [None, math.nan] if column.kind in NULLABLE else []
        others.append(_stranger(column, values))
        try:
            codes: list[float | None] = [*asked([*values, *others])]
        except (ValueError, TypeError):  # it rejects at least one value
            codes = [*_codes(transformer, asked, values), *(_outcome(asked, other) for other in others)]
        table = dict(zip(values, codes, strict=False))
        *missing, unknown = codes[len(values) :]
        none, nan = missing or (None, None)
        found.append(Table(table, _other(column, none, nan, unknown)))
    return found


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _known(values: Any, column: Column) -> list[Any]:
    known = [value for value in np.asarray(values, dtype=object).tolist() if not is_missing(value)]
    if not known:
        raise Unsupported(f"column {column.name!r} has no category but the missing one")
    is_text = column.kind == "string"
    if any(isinstance(value, str) is not is_text for value in known):
        raise Unsupported(f"column {column.name!r} of type {column.kind} has the category {known[0]!r}")
    return known


def _other(column: Column, none: float | None, nan: float | None, unknown: float | None) -> Callable[[Any], float]:
    """The arguments are codes; None where the transformer rejects such a value."""

    def other(value: Any) -> float:
        outcome = none if value is None else nan if value != value else unknown
        if outcome is None:
            raise ValueError(f"column {column.name!r}: the model refuses the value {value!r}")
        return outcome

    return other


def _codes(transformer: Any, asked: Callable[[Sequence[Any]], list[float]], values: Sequence[Any]) -> list[float]:
    try:
        return asked(values)
    except (ValueError, TypeError) as error:
        raise Unsupported(f"{type(transformer).__name__} rejects one of its own categories: {error}") from error


def _outcome(asked: Callable[[Sequence[Any]], list[float]], value: Any) -> float | None:
    """Return the code, or None if the transformer rejects the value."""
    try:
        return asked([value])[0]
    except (ValueError, TypeError):
        return None


def _stranger(column: Column, known: Sequence[Any]) -> Any:
    if column.kind == "string":
        return next(word for word in (f"stranger {number}" for number in count()) if word not in known)
    if column.kind == "boolean":
        return next((value for value in (False, True) if value not in known), True)
    return next(number for number in count() if number not in known)


def _array(values: Sequence[Any], kind: str) -> np.ndarray:
    return np.array(values, dtype=DTYPES[kind])
