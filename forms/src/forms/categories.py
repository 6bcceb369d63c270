"""What a fitted encoder of categories does to each value, found by asking it once, not by repeating its rules."""

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
"""What a column arrives as at the model. MLflow's float is left out: a category is looked up by its exact value."""

NULLABLE = ("double", "string")


def tables(
    transformer: Any,
    columns: Sequence[Column],
    categories: Sequence[Any],
    code: Callable[[np.ndarray, int], float],
) -> list[Table]:
    """One a column. `transformer` takes all `columns`; `categories` are those it knows, an array a column.

    `code(answered, column)` reads a column's code from what the transformer answered to one row, (width,).
    Raises Unsupported for columns that no table can stand for.
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
                warnings.simplefilter("ignore")  # of feature names, and of unknown categories: what was asked for
                answered = dense(transformer.transform(pd.DataFrame(arrays)))
            return [code(row, place) for row in answered]

        others = [None, math.nan] if column.kind in NULLABLE else []
        others.append(_stranger(column, values))
        try:
            codes: list[float | None] = [*asked([*values, *others])]
        except (ValueError, TypeError):  # it refuses one or the other
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
    """Codes; None where the transformer refuses such a value."""

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
        raise Unsupported(f"{type(transformer).__name__} refuses a category of its own: {error}") from error


def _outcome(asked: Callable[[Sequence[Any]], list[float]], value: Any) -> float | None:
    """None where the transformer refuses it."""
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
