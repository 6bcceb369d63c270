"""Golden rows with the version's predictions, read as labelled rows of production are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from contracts.golden_predictions import ENTITY, EVENT_TIME, LABEL, PREDICTION, SCORE
from drift.database.records import as_utc
from drift.database.window_rows import Answered


def labelled_rows(frame: pd.DataFrame) -> list[Answered]:
    """Return the rows of a `Promoted.golden_predictions`. Raises KeyError when there is no label in it."""
    truth = _column(frame, LABEL, required=True)
    columns = [_column(frame, name) for name in (SCORE, PREDICTION)]
    times = [as_utc(_time(value)) for value in _column(frame, EVENT_TIME)]
    entities = [None if value is None else str(value) for value in _column(frame, ENTITY)]
    return [Answered(*row) for row in zip(*columns, truth, times, entities, strict=True)]


def _column(frame: pd.DataFrame, name: str, *, required: bool = False) -> list[Any]:
    """Return Python's own values, None where one is missing, and for a column that is."""
    if name not in frame.columns and not required:
        return [None] * len(frame)
    return [None if pd.isna(value) else value for value in frame[name].tolist()]


def _time(value: Any) -> datetime | None:
    """Return a time, of a Timestamp or a text; None for what is none."""
    found = pd.to_datetime(value, errors="coerce", utc=True)
    return None if pd.isna(found) else found.to_pydatetime()
