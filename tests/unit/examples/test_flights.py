"""The flights recipe on the real data of the package."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from examples.flights import recipe

# What is known only once the flight has left or landed, and what identifies it.
FORBIDDEN = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "late", "tailnum", "scheduled_at"}


@pytest.fixture(scope="module")
def june() -> pd.DataFrame:
    return recipe.load("2013-06")


def test_the_year_has_twelve_windows_in_order() -> None:
    windows = list(recipe.windows())
    assert windows == sorted(windows)
    assert (len(windows), windows[0], windows[-1]) == (12, "2013-01", "2013-12")


def test_every_flight_of_the_year_is_in_exactly_one_window() -> None:
    assert sum(len(recipe.load(window)) for window in recipe.windows()) == 336_776


def test_numeric_features_are_float64_and_categorical_ones_str(june: pd.DataFrame) -> None:
    for name in recipe.features:
        if name in recipe.categorical:
            assert june[name].map(type).eq(str).all()
        else:
            assert june[name].dtype == np.float64


def test_no_feature_is_known_only_after_departure() -> None:
    assert not FORBIDDEN & set(recipe.features)


def test_no_single_feature_gives_the_label_away(june: pd.DataFrame) -> None:
    for name in recipe.features:
        values = june[name].astype("category").cat.codes if name in recipe.categorical else june[name]
        area = roc_auc_score(june["late"], values.fillna(values.median()))
        assert max(area, 1 - area) < 0.75, name


def test_the_order_of_rows_does_not_tell_who_was_late(june: pd.DataFrame) -> None:
    # The file is in order of actual departure with the cancelled flights of a day last: within a day that tells.
    day = june["scheduled_at"].dt.date
    place = june.groupby([day, june["hour"]]).cumcount()
    assert abs(roc_auc_score(june["late"], place) - 0.5) < 0.05
    assert june["scheduled_at"].is_monotonic_increasing


def test_label_entity_and_time_are_complete(june: pd.DataFrame) -> None:
    assert set(june["late"].unique()) == {0, 1}
    assert june[["tailnum", "scheduled_at"]].notna().all().all()
    assert str(june["scheduled_at"].dtype) == "datetime64[ns, UTC]"


def test_late_shares_are_those_of_the_data() -> None:
    shares = {window: recipe.load(window)["late"].mean() for window in ("2013-07", "2013-09")}
    assert shares == {"2013-07": pytest.approx(0.341, abs=0.001), "2013-09": pytest.approx(0.150, abs=0.001)}


def test_rows_lie_in_the_window_that_window_at_says(june: pd.DataFrame) -> None:
    for at in (june["scheduled_at"].iloc[0], june["scheduled_at"].iloc[-1]):
        assert recipe.window_at(at.to_pydatetime()) == "2013-06"


def test_a_month_ends_at_midnight_in_new_york() -> None:
    assert recipe.window_at(datetime(2013, 7, 1, 3, 59, tzinfo=UTC)) == "2013-06"
    assert recipe.window_at(datetime(2013, 7, 1, 4, 0, tzinfo=UTC)) == "2013-07"


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (datetime(2014, 2, 1, tzinfo=UTC), "no flights at 2014-02-01.*2013-01 to 2013-12"),
        (datetime(2013, 2, 1), "has no time zone"),
    ],
)
def test_a_time_without_window_is_refused_with_the_reason(time: datetime, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe.window_at(time)


def test_an_unknown_window_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="no window '2013-13': the windows are 2013-01 to 2013-12"):
        recipe.load("2013-13")


def test_a_caller_that_changes_its_rows_changes_nobody_elses() -> None:
    first = recipe.load("2013-02")
    first.loc[:, "hour"] = -1.0
    assert recipe.load("2013-02")["hour"].min() >= 0


def test_training_twice_gives_the_same_model_and_unseen_categories_an_answer(june: pd.DataFrame) -> None:
    part = june.head(3000)
    rows = june.tail(200)[list(recipe.features)]
    first, second = recipe.train(part), recipe.train(part)
    np.testing.assert_array_equal(first.predict_proba(rows), second.predict_proba(rows))
    strange = rows.assign(dest="XXX", carrier=None, temp=np.nan)
    assert np.isfinite(first.predict_proba(strange)).all()


def test_the_model_of_january_and_february_is_better_than_chance_in_march() -> None:
    model = recipe.train(pd.concat([recipe.load("2013-01"), recipe.load("2013-02")]))
    march = recipe.load("2013-03")
    area = roc_auc_score(march["late"], model.predict_proba(march[list(recipe.features)])[:, 1])
    assert area == pytest.approx(0.716, abs=0.01)
