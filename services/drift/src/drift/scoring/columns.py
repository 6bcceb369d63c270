"""Columns as they are compared: numbers as float64 with NaN for missing values, categories as codes of their texts."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.labels import canonical, number

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int32]

NUMBER, CATEGORY, TIME, DURATION = "number", "category", "time", "duration"
KINDS = {
    **dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal"), NUMBER),
    **dict.fromkeys(("date", "datetime", "datetime64", "time", "period"), TIME),
    **dict.fromkeys(("timedelta", "timedelta64"), DURATION),
}
"""Of pandas' names for the values of a column of objects."""
OF_ONE_TYPE = ("string", "boolean", "integer", "floating", "mixed-integer-float", "empty")
"""Of the same names: equal values are of one category, whatever their types, so that each is read once."""


class Numbers(NamedTuple):
    """`values`: NaN where missing."""

    values: Floats

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.values)


class Categories(NamedTuple):
    """`codes`: positions in `names`, -1 where missing; a name is the text of its values."""

    codes: Codes
    names: tuple[str, ...]

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        return self.codes < 0


Column: TypeAlias = Numbers | Categories


def kind_of(column: pd.Series) -> str:
    """Return NUMBER, CATEGORY, TIME or DURATION: by the type, and by the values where any object may be one."""
    if pd.api.types.is_object_dtype(column.dtype):
        return KINDS.get(pd.api.types.infer_dtype(column, skipna=True), CATEGORY)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return TIME
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return DURATION
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    return NUMBER if is_number else CATEGORY


def read(column: pd.Series, kind: str) -> Column:
    return _numbers(column) if kind == NUMBER else _categories(column)


def series(column: Column) -> pd.Series:
    """Return the column as numbers or texts, as Evidently takes it."""
    if isinstance(column, Numbers):
        return pd.Series(column.values, copy=False)
    names = np.array([*column.names, None], dtype=object)  # the code -1 takes the last
    return pd.Series(names[column.codes], copy=False)


def seconds(column: pd.Series) -> Floats | None:
    """Return a column of times as seconds since 1970, NaN where missing; None for what pandas cannot read as times."""
    times = pd.to_datetime(column, utc=True, errors="coerce")
    found = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    values: Floats = np.asarray(found, dtype="float64")
    return None if np.isnan(values).all() else values


def _numbers(column: pd.Series) -> Numbers:
    """Convert to float64; any value that is not a finite number (a word, too) becomes missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        of_categories = _numbers(pd.Series(column.cat.categories, dtype=object)).values
        return Numbers(np.append(of_categories, np.nan)[column.cat.codes])  # the code -1 takes the last
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        values = np.asarray(column.to_numpy(), dtype="float64")  # without a copy of what is float64
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype="float64", na_value=np.nan)
    elif KINDS.get(pd.api.types.infer_dtype(column, skipna=True)) == NUMBER:
        values = _of_objects(column)
    else:
        values = _one_by_one(column)
    endless = np.isinf(values)
    return Numbers(np.where(endless, np.nan, values) if endless.any() else values)


def _of_objects(column: pd.Series) -> Floats:
    try:
        return np.asarray(column.to_numpy(dtype=object), dtype="float64")
    except (OverflowError, TypeError, ValueError):  # an integer beyond any float
        return _one_by_one(column)


def _one_by_one(column: pd.Series) -> Floats:
    found = (number(value) for value in column)
    return np.fromiter((np.nan if value is None else value for value in found), dtype="float64", count=len(column))


def _categories(column: pd.Series) -> Categories:
    """Convert to texts; 1 and 1.0 are one category, as an integer column with a missing value comes as floats."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _renamed(column.cat.codes.to_numpy(), list(column.cat.categories))
    if pd.api.types.is_object_dtype(column.dtype) and (
        pd.api.types.infer_dtype(column, skipna=True) not in OF_ONE_TYPE
    ):
        column = pd.Series([_text(value) for value in column], dtype=object)
    codes, values = pd.factorize(column)
    return _renamed(codes, list(values))


def _renamed(codes: NDArray[np.integer], values: list[object]) -> Categories:
    """Return the codes of the values' texts, of which several values may have one."""
    texts = [_text(value) for value in values]
    places: dict[str, int] = {}
    places_of = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
    translation = np.array([*places_of, -1], dtype="int32")  # the code -1 takes the last
    return Categories(translation[codes], tuple(places))


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, bool | np.bool_) else canonical(value)
