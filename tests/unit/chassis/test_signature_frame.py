"""Rows in the types of pandas, Arrow and Spark are brought to a signature: MLflow takes them, as serving takes them."""

from __future__ import annotations

import datetime
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_schema
from mlflow.types import ColSpec, Schema

from chassis.model_signature import Column, Signature
from chassis.parquet import read_frame
from chassis.row_reader import RowReader
from chassis.row_validation import RowsRefused
from chassis.signature_frame import Unfit, fitted

NOON = datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)
NEW_YORK = pd.Timestamp(NOON).tz_convert("America/New_York")
TIMES = np.array(["2020-01-01T12:00:00", "NaT"], dtype="datetime64[ns]")

FITS: dict[str, tuple[str, pa.Array, Any]] = {
    "int64 for an int32 column": ("integer", pa.array([1, -2]), np.array([1, -2], np.int32)),
    "int8 for a long column": ("long", pa.array([1, 2], pa.int8()), np.array([1, 2], np.int64)),
    "uint64 for a long column": ("long", pa.array([1, 2**62], pa.uint64()), np.array([1, 2**62], np.int64)),
    "whole doubles for a long column": ("long", pa.array([1.0, 2.0]), np.array([1, 2], np.int64)),
    "decimals for a long column": ("long", pa.array([Decimal("3.00"), Decimal("4")]), np.array([3, 4], np.int64)),
    "integers with a gap for a double column": ("double", pa.array([1, None]), np.array([1, np.nan])),
    "large integers for a double column": ("double", pa.array([2**40, 2**53]), np.array([2.0**40, 2.0**53])),
    "decimals with a gap for a double column": (
        "double",
        pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
        np.array([1.25, np.nan]),
    ),
    "a column without a value for a double one": ("double", pa.array([None, None]), np.array([np.nan, np.nan])),
    "doubles for a float column": ("float", pa.array([0.1, None]), np.array([0.1, np.nan], np.float32)),
    "a dictionary for a string column": (
        "string",
        pa.array(["x", None]).dictionary_encode(),
        np.array(["x", None], object),
    ),
    "large strings": ("string", pa.array(["x", None], pa.large_string()), np.array(["x", None], object)),
    "string views": ("string", pa.array(["x", None], pa.string_view()), np.array(["x", None], object)),
    "a dictionary of integers": ("long", pa.array([7, 8]).dictionary_encode(), np.array([7, 8], np.int64)),
    "a zoned time, as Spark writes it": ("datetime", pa.array([NOON, None], pa.timestamp("us", "UTC")), TIMES),
    "a time in another zone": ("datetime", pa.array([NEW_YORK, None], pa.timestamp("us", "America/New_York")), TIMES),
    "a time in milliseconds": ("datetime", pa.array([NOON, None], pa.timestamp("ms")), TIMES),
    "a date": (
        "datetime",
        pa.array([datetime.date(2020, 1, 1), None], pa.date32()),
        np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
    ),
    "booleans": ("boolean", pa.array([True, False]), np.array([True, False])),
}

UNFIT: dict[str, tuple[str, pa.Array, str]] = {
    "too large": ("integer", pa.array([1, 2**31]), "column 'c' holds 2147483648; expected a whole number from -21474"),
    "a fraction": ("long", pa.array([1.0, 2.5]), "column 'c' holds 2.5; expected a whole number"),
    "a missing integer": (
        "long",
        pa.array([1, None]),
        "holds a missing value; expected a whole number from -9223372036854775808 to 9223372036854775807 (long); the"
        " model takes no missing ones here; infer the signature from features.astype({'c': 'float64'})",
    ),
    "a missing boolean": ("boolean", pa.array([True, None]), "holds a missing value; expected true or false"),
    "a text for a number": ("double", pa.array(["1", "2"]), "column 'c' holds \"1\"; expected a number"),
    "a number for a text": ("string", pa.array([1, 2]), "column 'c' holds 1; expected a string"),
    "a boolean for a number": ("double", pa.array([True, False]), "column 'c' holds true; expected a number"),
    "a number beyond float": ("float", pa.array([1.0, 1e39]), "column 'c' holds 1e+39; expected a number of at most"),
    "a duration": ("long", pa.array([1, 2], pa.duration("us")), "column 'c' holds"),
}

MLFLOW_TAKES = {"a missing boolean", "a text for a number"}
"""Of objects; serving refuses them, so they are no evidence of how the model serves."""


def read(values: pa.Array, folder: Path) -> pd.DataFrame:
    pq.write_table(pa.table({"c": values}), folder / "rows.parquet")
    return read_frame(folder / "rows.parquet")


@pytest.mark.parametrize("name", FITS)
def test_values_that_fit_are_brought_to_the_type_and_mlflow_takes_them(name: str, tmp_path: Path) -> None:
    kind, values, wanted = FITS[name]
    found = fitted(read(values, tmp_path), {"c": kind})
    assert found["c"].to_numpy().dtype == wanted.dtype
    np.testing.assert_array_equal(found["c"].to_numpy(), wanted)
    enforced = _enforce_schema(found, Schema([ColSpec(kind, "c")]))  # type: ignore[no-untyped-call]
    pd.testing.assert_frame_equal(enforced, found)


@pytest.mark.parametrize("name", UNFIT)
def test_a_value_that_does_not_fit_is_named_in_one_sentence(name: str, tmp_path: Path) -> None:
    kind, values, says = UNFIT[name]
    frame = read(values, tmp_path)
    with pytest.raises(Unfit) as caught:
        fitted(frame, {"c": kind})
    assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises((MlflowException, ValueError, TypeError)) if name not in MLFLOW_TAKES else nullcontext():
        _enforce_schema(frame, Schema([ColSpec(kind, "c")]))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "name", ["too large", "a fraction", "a missing integer", "a missing boolean", "a text for a number"]
)
def test_serving_refuses_the_same_in_the_same_words(name: str, tmp_path: Path) -> None:
    kind, values, _ = UNFIT[name]
    with pytest.raises(Unfit) as gate:
        fitted(read(values, tmp_path), {"c": kind})
    with pytest.raises(RowsRefused) as serving:
        RowReader(Signature((Column("c", kind),))).read([{"c": value} for value in values.to_pylist()], 10)
    expected = serving.value.faults[0].expected
    assert expected in str(gate.value)


def test_what_has_its_type_and_what_has_none_stays_as_it_is() -> None:
    frame = pd.DataFrame({"a": [1.5, np.inf], "b": [b"x", b"y"], "d": pd.Categorical(["u", "v"])}, index=[7, 9])
    pd.testing.assert_frame_equal(fitted(frame, {"a": "double", "b": "binary"}), frame)
