"""Bring the columns of a frame to the types of a model's signature, as serving brings the values of a request.

Parquet files of pandas, Arrow and Spark hold the same numbers and times in other types: int64 for int32, nullable or
decimal numbers, dictionaries of texts, times with a zone. MLflow refuses them; the values decide here, by the readers
that serving has.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chassis.column_types import READERS, TypeMismatch

DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
SHOWN = 80


class Unfit(ValueError):
    """A value of a column does not fit its type; the message names both, and what to do."""


def fitted(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the frame with its columns in the types `kinds`, MLflow's names by column. Raises Unfit.

    Columns that are not named, or have a type that no request can carry, stay as they are.
    """
    columns = {
        name: _column(frame[name], kinds[name]) if kinds.get(name) in READERS else frame[name] for name in frame.columns
    }
    return pd.DataFrame(columns, index=frame.index, columns=frame.columns)


def fitted_where_possible(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """As `fitted`; a column with a value that does not fit stays as it is."""
    columns = {}
    for name in frame.columns:
        with suppress(Unfit):
            columns[name] = fitted(frame[[name]], kinds)[name]
    return frame.assign(**columns)


def untyped(frame: pd.DataFrame) -> tuple[str, ...]:
    """Describe the columns that MLflow has no type for, each with what to make of it.

    One of them in the frame of `infer_signature` makes the whole signature a single column of type any.
    """
    return tuple(f"{name!r} ({found})" for name in frame.columns if (found := _untyped(frame[name])) is not None)


def _untyped(values: pd.Series[Any]) -> str | None:
    dtype = values.dtype
    if dtype == np.uint64 or isinstance(dtype, pd.UInt64Dtype):
        return f"{dtype}: astype('int64')"
    if pd.api.types.is_timedelta64_dtype(dtype):
        return "timedelta: .dt.total_seconds()"
    if isinstance(dtype, pd.PeriodDtype):
        return "period: .dt.to_timestamp()"
    if isinstance(dtype, pd.IntervalDtype) or pd.api.types.is_complex_dtype(dtype):
        return f"{dtype}: .astype(str)"
    if not pd.api.types.is_object_dtype(dtype):
        return None
    kinds = {type(value) for value in values.tolist() if value is not None and value == value}
    if Decimal in kinds:
        return "Decimal: .astype('float64')"
    return "mixed types: .astype(str)" if len(kinds) > 1 else None


def _column(values: pd.Series[Any], kind: str) -> Any:
    if str(values.dtype) == DTYPES.get(kind):
        return values
    if kind == "double" and _is_number(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "datetime" and pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _times(values)
    plain = [_plain(value, kind) for value in values.tolist()]
    try:
        return READERS[kind](plain)
    except TypeMismatch as wrong:
        value = plain[wrong.row]
        as_float = f"; infer the signature from features.astype({{{values.name!r}: 'float64'}})"
        cure = as_float if value is None else ""
        raise Unfit(f"column {values.name!r} holds {_shown(value)}; expected {wrong.expected}{cure}") from wrong


def _is_number(values: pd.Series[Any]) -> bool:
    dtype = values.dtype
    return (
        pd.api.types.is_numeric_dtype(dtype)
        and not pd.api.types.is_bool_dtype(dtype)
        and not pd.api.types.is_complex_dtype(dtype)
    )


def _times(values: pd.Series[Any]) -> NDArray[Any]:
    """Return the times in UTC without a zone, as MLflow's are."""
    times = pd.to_datetime(values, utc=True).dt.tz_localize(None)
    try:
        return times.dt.as_unit("ns").to_numpy()
    except pd.errors.OutOfBoundsDatetime as error:
        raise Unfit(f"column {values.name!r} holds a time outside of the years 1678 to 2261: {error}") from error


def _plain(value: Any, kind: str) -> Any:
    """Return the value as JSON has it; one that JSON does not have fits no type."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None if value.is_nan() else float(value)
        return int(value) if kind in ("long", "integer") and value == value.to_integral_value() else float(value)
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime.date) and kind == "datetime":
        return value.isoformat()
    return _plain(value.item(), kind) if isinstance(value, np.generic) else value


def _shown(value: Any) -> str:
    if value is None:
        return "a missing value"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, bool | int | float | str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
