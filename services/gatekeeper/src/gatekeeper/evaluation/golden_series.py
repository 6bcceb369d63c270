"""The order of golden rows in time, which the metrics of forecasts need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.forecasts import naive_error, values_before
from contracts.labels import number
from gatekeeper.policy.statistics.metrics import Series


def series_of(
    labelled: pd.DataFrame,
    label: str,
    event_time: str | None,
    entity: str | None,
    chosen: NDArray[np.int64],
    *,
    is_numeric: bool,
    is_ordered: bool,
) -> Series | None:
    """Return the order of the chosen ones of all labelled rows; None if they have no event time.

    What was before a row is found among all rows, of which the chosen ones are a sample; nothing was before a class.
    `is_ordered`: bounds use the order, as they did not before format 4 of the evidence.
    """
    if event_time not in labelled.columns or not (is_numeric or is_ordered):
        return None
    times = _times(labelled[event_time])
    at = _ranks(times)[chosen] if is_ordered else None
    if not is_numeric:
        return Series(np.full(len(chosen), np.nan), None, at)
    labels = [found if (found := number(value)) is not None else np.nan for value in labelled[label]]
    entities = None
    if entity in labelled.columns:
        entities = pd.factorize(labelled[entity], use_na_sentinel=False)[0].tolist()
    before = values_before(labels, times, entities)
    return Series(np.array(before)[chosen], naive_error(labels, before), at)


def _ranks(times: list[Any]) -> NDArray[np.int64]:
    """Return the rank of each time from 0 on, equal for equal times; -1 for none."""
    order = {time: rank for rank, time in enumerate(sorted({time for time in times if time is not None}))}
    return np.array([-1 if time is None else order[time] for time in times], dtype=np.int64)


def _times(column: pd.Series[Any]) -> list[Any]:
    """Values that can be ordered; None for a missing one. Texts are read as ISO 8601."""
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        times = column
    else:
        times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    return [None if missing else value for value, missing in zip(times, times.isna(), strict=True)]
