"""Rows as serving takes them, from what programs have."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gauntlet_client import ClientError
from gauntlet_client.rows import rows_of

FRAME = pd.DataFrame(
    {
        "n": pd.array([1, None], dtype="Int64"),
        "x": [0.5, np.nan],
        "at": pd.to_datetime(["2013-06-01T00:00Z", None]),
        "who": ["N1", None],
        "kind": pd.Categorical(["a", None]),
    }
)
EXPECTED = [
    {"n": 1, "x": 0.5, "at": "2013-06-01T00:00:00+00:00", "who": "N1", "kind": "a"},
    {"n": None, "x": None, "at": None, "who": None, "kind": None},
]
CASES: dict[str, tuple[Any, list[Any]]] = {
    "dicts": ([{"a": 1, "b": "x", "c": None, "d": True}], [{"a": 1, "b": "x", "c": None, "d": True}]),
    "numbers of numpy": (
        [{"a": np.int64(1), "b": np.float32(0.5), "c": np.bool_(True)}],
        [{"a": 1, "b": 0.5, "c": True}],
    ),
    "missing values": (
        [{"a": float("nan"), "b": pd.NA, "c": pd.NaT, "d": np.datetime64("NaT")}],
        [dict.fromkeys("abcd")],
    ),
    "times": (
        [{"a": datetime(2013, 6, 1, 12, tzinfo=UTC), "b": date(2013, 6, 1), "c": pd.Timestamp("2013-06-01")}],
        [{"a": "2013-06-01T12:00:00+00:00", "b": "2013-06-01", "c": "2013-06-01T00:00:00"}],
    ),
    "columns": ({"a": [1, 2], "b": np.array([0.5, np.nan])}, [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]),
    "frame": (FRAME, EXPECTED),
    "rows of a frame": (FRAME.to_dict("records"), EXPECTED),
    "matrix": (np.array([[1.0, np.nan], [3.0, 4.0]]), [[1.0, None], [3.0, 4.0]]),
    "lists": ([[1, 2.5], (3, None)], [[1, 2.5], [3, None]]),
    "a structured array": (np.array([(1, 0.5)], dtype=[("a", "i8"), ("b", "f8")]), [{"a": 1, "b": 0.5}]),
    "a column of vectors": ([{"v": np.array([1.0, 2.0])}], [{"v": [1.0, 2.0]}]),
}


@pytest.mark.parametrize("name", CASES)
def test_rows(name: str) -> None:
    data, expected = CASES[name]
    assert rows_of(data) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no rows"),
        ({"a": []}, "no rows"),
        ([{"a": float("inf")}], "row 0, column 'a' is inf"),
        ({"a": [1], "b": [1, 2]}, "different lengths"),
        ({"a": 1}, "column 'a' is 1, and no sequence"),
        (np.zeros(3), "1 dimensions"),
        ("text", "made of a str"),
        ([1], "row 0 is a int"),
        ([{"a": object()}], "row 0, column 'a' is a object"),
    ],
)
def test_what_are_no_rows_is_refused_with_what_it_is(data: Any, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        rows_of(data)
