"""Converts between rows from JSON and the DataFrame that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from forms.categories import DTYPES
from forms.form import Column, Row

FRAME_DTYPES = {**DTYPES, "float": "float32", "datetime": "datetime64[ns]"}
"""dtypes of the arrays passed to a pyfunc, by MLflow's name of a column's type."""


def frame_of(rows: Sequence[Row], columns: Sequence[Column]) -> pd.DataFrame:
    """Build a frame of at least one row. Raises ValueError or TypeError for a value outside its column's type."""
    values = zip(*rows, strict=True)
    arrays = {
        column.name: np.array(given, dtype=FRAME_DTYPES[column.kind])
        for column, given in zip(columns, values, strict=True)
    }
    return pd.DataFrame(arrays, copy=False)


def rows_of(frame: pd.DataFrame, columns: Sequence[Column]) -> list[Row]:
    """Return the rows that JSON can represent: omits infinite numbers, and missing integers and booleans.

    Raises ValueError or TypeError for values that are not of their column's type, KeyError for a missing column.
    """
    usable = np.ones(len(frame), dtype=bool)
    found = []
    for column in columns:
        values, missing = frame[column.name], frame[column.name].isna().to_numpy()
        if column.kind in ("double", "float"):
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            usable &= ~np.isinf(numbers)
            found.append([None if number != number else number for number in numbers.tolist()])
        elif column.kind in ("long", "integer", "boolean"):
            usable &= ~missing
            whole: Any = bool if column.kind == "boolean" else int
            found.append([None if hole else whole(value) for value, hole in zip(values, missing, strict=True)])
        else:
            text: Any = _utc if column.kind == "datetime" else str
            found.append([None if hole else text(value) for value, hole in zip(values, missing, strict=True)])
    return [row for row, fits in zip(zip(*found, strict=True), usable.tolist(), strict=True) if fits]


def _utc(value: Any) -> str:
    moment = pd.Timestamp(value)
    return (moment if moment.tz is None else moment.tz_convert(None)).isoformat()  # MLflow's is naive, here UTC
