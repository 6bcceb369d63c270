"""What a label column contains: what its problem is found by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from contracts.problem import Label


def label_of(labels: pd.Series[Any]) -> Label:
    """Describe a column; missing values are not counted. Whole numbers that are stored as floats are integers."""
    values = labels.dropna()
    name, distinct = str(labels.name), int(values.nunique())
    if pd.api.types.is_bool_dtype(values.dtype) or (len(values) and all(isinstance(value, bool) for value in values)):
        return Label(name, "boolean", distinct)
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return Label(name, "text", distinct)
    numbers = values.to_numpy(dtype=np.float64)
    whole = bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())
    return Label(name, "integer" if whole else "number", distinct)
