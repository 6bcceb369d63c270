"""The temperature recipe on the real data of the package."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from contracts.forecasts import naive_error, values_before
from examples.temperature import recipe


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return pd.concat([recipe.load(window) for window in recipe.windows()], ignore_index=True)


def test_windows_are_ordered_and_hold_eight_forecasts_a_day_and_airport(year: pd.DataFrame) -> None:
    assert year["issued_at"].is_monotonic_increasing
    assert not year.duplicated(["issued_at", "airport"]).any()
    assert set(year["airport"]) == {"EWR", "JFK", "LGA"} and set(year["hour"]) == {
        f"{at:02d}" for at in range(0, 24, 3)
    }
    assert len(year) == 8681
    assert recipe.window_at(datetime(2013, 8, 1, 3, tzinfo=UTC)) == "2013-07"
    with pytest.raises(ValueError, match="the windows are 2013-01 to 2013-12"):
        recipe.window_at(datetime(2014, 2, 1, tzinfo=UTC))


def test_columns_are_as_the_trainer_needs_them(year: pd.DataFrame) -> None:
    for name in recipe.features:
        if name in recipe.categorical:
            assert year[name].map(type).eq(str).all()
        else:
            assert year[name].dtype == np.float64
    assert year[[recipe.label, recipe.entity, recipe.event_time, "temp"]].notna().all().all()


def test_the_label_is_the_temperature_three_hours_later_and_features_are_of_the_past(year: pd.DataFrame) -> None:
    for _, rows in year.groupby("airport"):
        by_time = rows.set_index("issued_at")
        later = by_time["temp"].reindex(by_time.index + pd.Timedelta(hours=3))
        known = later.notna().to_numpy()
        np.testing.assert_array_equal(later[known], by_time[recipe.label][known])
        for column, hours in (("temp_3h_ago", 3), ("temp_day_before", 24), ("temp_day_before_then", 21)):
            before = by_time["temp"].reindex(by_time.index - pd.Timedelta(hours=hours))
            known = before.notna().to_numpy()
            np.testing.assert_array_equal(before[known], by_time[column][known])


def test_the_value_before_is_the_temperature_now_so_that_mase_is_against_the_last_value() -> None:
    golden = recipe.load("2013-07")
    labels = golden[recipe.label].tolist()
    before = np.array(values_before(labels, golden["issued_at"].tolist(), golden["airport"].tolist()))
    known = ~np.isnan(before)
    assert (before[known] == golden["temp"][known]).mean() > 0.98  # all but those after a gap
    model = recipe.train(pd.concat([recipe.load(f"2013-{month:02d}") for month in (4, 5, 6)]))
    error = np.abs(model.predict(golden[list(recipe.features)]) - golden[recipe.label]).mean()
    naive = naive_error(labels, before.tolist())
    assert naive == pytest.approx(2.97, abs=0.05) and error < 0.6 * naive
