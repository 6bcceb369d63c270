"""From a frame of rows to the form that a pyfunc is served in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from forms import NATIVE, Column, choose, frame_of, rows_of
from support.form_models import COLUMNS, coded, dense, piped, sides, table

KINDS = [
    Column("amount", "double"),
    Column("ratio", "float"),
    Column("count", "long"),
    Column("late", "boolean"),
    Column("word", "string"),
    Column("at", "datetime"),
]


def pyfunc(model: Any, method: str = "predict_proba") -> Any:
    """What `forms` takes of an MLflow pyfunc."""
    flavors = {"python_function": {"predict_fn": method}}
    return SimpleNamespace(metadata=SimpleNamespace(flavors=flavors), get_raw_model=lambda: model)


def test_rows_of_a_frame_are_those_that_json_can_bring_and_lead_back_to_it() -> None:
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2013-01-01T00:00:00", None, "2013-01-03T04:05:06", *["2013-01-04T00:00:00"] * 2]),
            "word": ["a", None, "c", "d", "e"],
            "late": [True, False, True, False, True],
            "count": pd.array([1, 2**53 + 1, 3, None, 5], dtype="Int64"),
            "ratio": np.array([0.1, np.nan, 0.3, 0.4, 0.5], dtype=np.float32),
            "amount": [0.1, np.nan, 0.3, 0.4, np.inf],
        }
    )
    rows = rows_of(frame, KINDS)
    assert [row[2] for row in rows] == [1, 2**53 + 1, 3], "without the missing count and the infinite amount"
    assert rows[1] == (None, None, 2**53 + 1, False, None, None)
    again = frame_of(rows, KINDS)
    assert [str(dtype) for dtype in again.dtypes][:4] == ["float64", "float32", "int64", "bool"]
    expected = frame[[column.name for column in KINDS]].iloc[:3].astype({"count": "int64"})
    pd.testing.assert_frame_equal(again, expected, check_dtype=False)


@pytest.mark.parametrize("first", [coded(), dense()])
def test_the_fastest_form_that_is_proven_is_chosen_on_real_rows_and_made_up_ones(first: Any) -> None:
    frame = table(800)
    model = piped(first, HistGradientBoostingClassifier(max_iter=5)).fit(frame, sides(frame))
    rows = rows_of(frame, COLUMNS)
    found = choose(pyfunc(model), COLUMNS, lambda some: model.predict_proba(frame_of(some, COLUMNS)), rows)
    about = found.about()
    assert about["name"] == "onnxruntime" and about["parity"]["labels_differ"] == 0
    assert about["parity"]["rows"] > 800 and about["parity"]["largest_difference"] <= 1e-6
    assert [each["form"] for each in about["refused"]] == ["linear"]


def test_a_model_that_says_something_else_than_its_estimator_is_served_as_it_is() -> None:
    frame = table(300)
    model = piped(coded(), HistGradientBoostingClassifier(max_iter=5)).fit(frame, sides(frame))

    def ask(some: Any) -> Any:
        return model.predict_proba(frame_of(some, COLUMNS)) * 0.999

    found = choose(pyfunc(model), COLUMNS, ask, rows_of(frame, COLUMNS))
    assert (found.name, found.form, found.about()["parity"]) == (NATIVE, None, None)
    assert "tolerance 1e-06" in {each.form: each.reason for each in found.refused}["onnxruntime"]
