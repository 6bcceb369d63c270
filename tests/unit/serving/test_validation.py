"""Rows are read by the model's signature; whatever does not fit is named with row, field, value and expectation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.model_signature import Column, Signature
from chassis.row_reader import InputBatch, RowReader
from chassis.row_validation import RowsRefused

SIGNATURE = Signature(
    columns=(
        Column("distance", "double"),
        Column("carrier", "string"),
        Column("stops", "long"),
        Column("gate", "integer"),
        Column("night", "boolean"),
        Column("weight", "float"),
        Column("scheduled", "datetime"),
        Column("note", "string", required=False),
    ),
    entity="tailnum",
    event_time="departed",
    label="late",
)
GOOD: dict[str, Any] = {
    "distance": 12.5,
    "carrier": "UA",
    "stops": 1,
    "gate": 3,
    "night": False,
    "weight": 1.5,
    "scheduled": "2013-06-01T12:00:00Z",
}


def read(*rows: Any, signature: Signature = SIGNATURE, max_rows: int = 100) -> InputBatch:
    return RowReader(signature).read(list(rows), max_rows)


def without(name: str) -> dict[str, Any]:
    return {field: value for field, value in GOOD.items() if field != name}


def test_good_rows_become_the_frame_that_the_model_takes() -> None:
    frame = read(GOOD, GOOD | {"distance": 7, "carrier": "AA"}).frame
    assert list(frame.columns) == list(GOOD), (
        "the model's columns in its order; an optional one that nobody sends is left out"
    )
    assert [str(dtype) for dtype in frame.dtypes] == [
        "float64", "object", "int64", "int32", "bool", "float32", "datetime64[ns]",
    ]  # fmt: skip
    assert frame["distance"].tolist() == [12.5, 7.0], "a whole number for a double is fine"
    assert frame["scheduled"].tolist() == [pd.Timestamp("2013-06-01 12:00")] * 2


def test_null_is_a_missing_number_text_or_time() -> None:
    table = read(GOOD, GOOD | {"distance": None, "carrier": None, "scheduled": None, "weight": None})
    second = table.frame.iloc[1]
    assert np.isnan(second["distance"]) and np.isnan(second["weight"]) and pd.isna(second["scheduled"])
    assert second["carrier"] is None
    assert {(row, column.name) for row, column in table.nulls} == {
        (1, "distance"),
        (1, "carrier"),
        (1, "weight"),
        (1, "scheduled"),
    }


def test_times_are_read_in_utc() -> None:
    frame = read(GOOD | {"scheduled": "2013-06-01T12:00:00-05:00"}, GOOD | {"scheduled": "2013-06-01"}).frame
    assert frame["scheduled"].tolist() == [pd.Timestamp("2013-06-01 17:00"), pd.Timestamp("2013-06-01")]


def test_an_optional_field_may_be_in_some_rows_only() -> None:
    assert read(GOOD, GOOD | {"note": "x"}).frame["note"].tolist() == [None, "x"]


def test_entity_and_event_time_travel_beside_the_features() -> None:
    table = read(GOOD | {"tailnum": "N1", "departed": "2013-06-01T12:00:00-05:00"}, GOOD | {"tailnum": 17})
    assert table.entities == ["N1", "17"]
    assert table.event_times == [datetime(2013, 6, 1, 17, tzinfo=UTC), None]
    assert "tailnum" not in table.frame and "departed" not in table.frame
    assert read(GOOD).entities == [] and read(GOOD).event_times == []


def test_an_entity_that_is_a_feature_is_both() -> None:
    signature = Signature(columns=(Column("tailnum", "string"),), entity="tailnum")
    table = read({"tailnum": "N1"}, signature=signature)
    assert table.entities == ["N1"] and table.frame["tailnum"].tolist() == ["N1"]


BAD: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "missing": (without("distance"), "distance", "missing", "a number"),
    "text for a number": (GOOD | {"distance": "far"}, "distance", '"far"', "a number"),
    "boolean for a number": (GOOD | {"distance": True}, "distance", "true", "a number"),
    "array for a number": (GOOD | {"distance": [1]}, "distance", "an array of 1", "a number"),
    "object for a text": (GOOD | {"carrier": {"a": 1}}, "carrier", "an object of 1", "a string"),
    "number for a text": (GOOD | {"carrier": 5}, "carrier", "5", "a string"),
    "fraction for a whole number": (GOOD | {"stops": 1.5}, "stops", "1.5", "a whole number"),
    "null for a whole number": (GOOD | {"stops": None}, "stops", "null", "takes no missing ones"),
    "boolean for a whole number": (GOOD | {"stops": False}, "stops", "false", "a whole number"),
    "too large for a long": (GOOD | {"stops": 2**63}, "stops", "9223372036854775808", "9223372036854775807"),
    "too large for an exact whole number": (GOOD | {"stops": 1e300}, "stops", "1e+300", "a whole number"),
    "too large for an integer": (GOOD | {"gate": 2**31}, "gate", "2147483648", "2147483647"),
    "number for a boolean": (GOOD | {"night": 1}, "night", "1", "true or false"),
    "null for a boolean": (GOOD | {"night": None}, "night", "null", "true or false"),
    "too large for a float": (GOOD | {"weight": 1e39}, "weight", "1e+39", "3.4e+38"),
    "no time": (GOOD | {"scheduled": "noon"}, "scheduled", '"noon"', "ISO 8601"),
    "a number for a time": (GOOD | {"scheduled": 1370088000}, "scheduled", "1370088000", "ISO 8601"),
    "a time out of range": (GOOD | {"scheduled": "0001-01-01T00:00:00+14:00"}, "scheduled", "0001-01-01", "1678"),
    "a time after the range": (GOOD | {"scheduled": "2262-12-31"}, "scheduled", '"2262-12-31"', "2261"),
    "unknown field": (GOOD | {"distence": 1}, "distence", "1", "did you mean 'distance'?"),
    "the label": (GOOD | {"late": 1}, "late", "1", "ground truth"),
    "a boolean entity": (GOOD | {"tailnum": True}, "tailnum", "true", "an id"),
    "an empty entity": (GOOD | {"tailnum": ""}, "tailnum", '""', "an id"),
    "an event time that is none": (GOOD | {"departed": "soon"}, "departed", '"soon"', "ISO 8601"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_field_is_named_with_its_row_and_value(name: str) -> None:
    row, field, value, expected = BAD[name]
    with pytest.raises(RowsRefused) as refusal:
        read(GOOD, row)
    (fault,) = refusal.value.faults
    assert (fault.row, fault.field) == (1, field)
    assert value in fault.value
    assert expected in fault.expected
    assert f"rows[1].{field}" in str(refusal.value)


def test_every_column_that_is_wrong_is_named_once() -> None:
    bad = GOOD | {"distance": "x", "carrier": 1, "tailnum": True}
    with pytest.raises(RowsRefused, match=r"rows\[0\].*and 2 more") as refusal:
        read(bad, bad)
    assert [(fault.row, fault.field) for fault in refusal.value.faults] == [
        (0, "carrier"),
        (0, "distance"),
        (0, "tailnum"),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "rows is null; expected an array"),
        ({}, "rows is an object of 0; expected an array"),
        ("x", 'rows is "x"; expected an array'),
        ([], "rows is empty; expected at least one row"),
        ([GOOD] * 101, "rows is an array of 101; expected at most 100 rows"),
        ([GOOD, 5], r"rows[1] is 5; expected an object"),
        ([GOOD, [1, 2]], r"rows[1] is an array of 2; expected an object"),
        ([None], r"rows[0] is null; expected an object"),
    ],
)
def test_what_is_no_list_of_rows_is_refused(rows: Any, said: str) -> None:
    with pytest.raises(RowsRefused) as refusal:
        RowReader(SIGNATURE).read(rows, 100)
    assert said in str(refusal.value)


def test_a_long_value_is_cut_short_and_faults_are_limited() -> None:
    with pytest.raises(RowsRefused) as refusal:
        read(GOOD | {"distance": "x" * 10_000} | {f"extra{number}": 1 for number in range(1000)})
    assert len(refusal.value.faults) == 20
    assert all(len(fault.value) < 100 for fault in refusal.value.faults)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
rows_of_anything = st.lists(
    st.dictionaries(st.sampled_from([*GOOD, "tailnum", "departed", "other"]), values) | values, max_size=4
)


def read_or_refused(rows: list[Any]) -> int | tuple[str | None, ...]:
    """Rows read, or the fields named; anything else that is raised is a bug."""
    try:
        return len(RowReader(SIGNATURE).read(rows, 100).frame)
    except RowsRefused as refusal:
        json.dumps([fault.value for fault in refusal.faults])
        return tuple(fault.field for fault in refusal.faults)


@given(rows_of_anything)
def test_anything_is_either_read_or_refused_in_words(rows: list[Any]) -> None:
    outcome = read_or_refused(rows)
    assert outcome == len(rows) if isinstance(outcome, int) else outcome


@given(st.fixed_dictionaries({name: st.just(value) | values for name, value in GOOD.items()}))
def test_a_value_of_any_kind_in_any_column_is_either_read_or_refused_by_name(row: dict[str, Any]) -> None:
    outcome = read_or_refused([row])
    assert outcome == 1 or (isinstance(outcome, tuple) and set(outcome) <= row.keys())
