"""Whatever a model returns: `/invocations` as a real `mlflow models serve`, and in every protocol valid JSON.

A model that returns, for each case of the corpus, another type. Where the scoring server has an answer, ours is the
same, with null for NaN and infinity; where it fails with a 500, ours says what the model returned.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import httpx
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pydantic
import pytest
import scipy.sparse
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from chassis.digests import digest_tree
from support.bus_client import BusClient
from support.replica import Replica
from support.scoring_servers import Both, both_serving
from support.versions import Uploads

NAME = "returning-anything"
NOON = datetime.datetime(2013, 6, 1, 12, 30, tzinfo=datetime.UTC)


class Colour(enum.Enum):
    RED = "red"


class Answer(pydantic.BaseModel):
    score: float = 0.5


@dataclasses.dataclass
class Plain:
    score: float = 0.5


def numbers(rows: int) -> Any:
    return np.linspace(0.1, 0.7, rows)


def series(rows: int, dtype: Any = None, **options: Any) -> Any:
    return pd.Series(numbers(rows).astype(dtype) if dtype else numbers(rows), **options)


def nullable(rows: int, dtype: str) -> Any:
    return pd.Series([1] * rows, dtype=dtype)


def objects(items: list[Any]) -> Any:
    """An array of objects, whatever they are."""
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made


def with_last(rows: int, last: Any) -> list[Any]:
    return [0.5] * (rows - 1) + [last]


def table(rows: int, **columns: Any) -> Any:
    return pd.DataFrame({name: [value] * rows for name, value in columns.items()})


Case = Callable[[int], Any]
ARRAYS: dict[str, Case] = {
    "floats": numbers,
    "float32": lambda rows: numbers(rows).astype(np.float32),
    "float16": lambda rows: numbers(rows).astype(np.float16),
    "long doubles": lambda rows: numbers(rows).astype(np.longdouble),
    "complex numbers": lambda rows: numbers(rows).astype(complex),
    "integers": np.arange,
    "large unsigned integers": lambda rows: np.full(rows, 2**64 - 1, dtype=np.uint64),
    "booleans": lambda rows: np.arange(rows) % 2 == 0,
    "one column": lambda rows: numbers(rows).reshape(-1, 1),
    "two columns": lambda rows: np.full((rows, 2), 0.5),
    "three columns": lambda rows: np.full((rows, 3), 1 / 3),
    "three dimensions": lambda rows: np.zeros((rows, 2, 2)),
    "no dimension": lambda rows: np.array(0.5),
    "an array in Fortran's order": lambda rows: np.asfortranarray(np.full((rows, 2), 0.5)),
    "a masked array": lambda rows: np.ma.masked_array(numbers(rows), mask=[True] * rows),
    "a structured array": lambda rows: np.zeros(rows, dtype=[("score", float), ("label", int)]),
    "texts in an array": lambda rows: np.array(["no"] * rows),
    "bytes in an array": lambda rows: np.array([b"no"] * rows),
    "times in an array": lambda rows: np.array(["2013-06-01"] * rows, dtype="datetime64[ns]"),
    "durations in an array": lambda rows: np.array([5] * rows, dtype="timedelta64[s]"),
    "floats as objects": lambda rows: objects([0.5] * rows),
    "numpy floats as objects": lambda rows: objects([np.float64(0.5)] * rows),
    "numpy integers as objects": lambda rows: objects([np.int64(3)] * rows),
    "0-d arrays as objects": lambda rows: objects([np.array(0.5) for _ in range(rows)]),
    "numpy texts as objects": lambda rows: objects([np.str_("no")] * rows),
    "texts and numbers as objects": lambda rows: objects(["no"] * (rows - 1) + [3]),
    "None as an object": lambda rows: objects(with_last(rows, None)),
    "huge integers": lambda rows: objects([2**70] * rows),
    "NaN in an array": lambda rows: np.array(with_last(rows, np.nan)),
    "infinity in an array": lambda rows: np.array(with_last(rows, -np.inf)),
    "NaN in two columns": lambda rows: np.full((rows, 2), np.nan),
}
LISTS: dict[str, Case] = {
    "a list of floats": lambda rows: [0.5] * rows,
    "a list of integers": lambda rows: [3] * rows,
    "a list of booleans": lambda rows: [True] * rows,
    "a list of texts": lambda rows: ["no"] * rows,
    "a list of texts of other alphabets": lambda rows: ["nö 否 \U0001f600"] * rows,
    "a list of half a surrogate pair": lambda rows: ["\ud800"] * rows,
    "a list of words for NaN": lambda rows: ["NaN and Infinity"] * rows,
    "a list of numpy floats": lambda rows: list(numbers(rows)),
    "a list of float32": lambda rows: list(numbers(rows).astype(np.float32)),
    "a list of numpy integers": lambda rows: list(np.arange(rows)),
    "a list of numpy booleans": lambda rows: list(np.arange(rows) % 2 == 0),
    "a list of numpy texts": lambda rows: [np.str_("no")] * rows,
    "a list of 0-d arrays": lambda rows: [np.array(0.5)] * rows,
    "a list of lists": lambda rows: [[0.25, 0.75]] * rows,
    "a list of lists of numpy floats": lambda rows: [[np.float64(0.25), np.float32(0.75)]] * rows,
    "a list of lists of 0-d arrays": lambda rows: [[np.array(0.25), np.array(0.75)]] * rows,
    "a list of arrays": lambda rows: [np.array([0.25, 0.75])] * rows,
    "a list of tuples": lambda rows: [(0.25, 0.75)] * rows,
    "a tuple": lambda rows: (0.5,) * rows,
    "a list of lists of different lengths": lambda rows: [[0.5] * (1 + row) for row in range(rows)],
    "a list of empty lists": lambda rows: [[]] * rows,
    "a list of dicts": lambda rows: [{"score": np.float64(0.5), "label": "no"}] * rows,
    "a list of dicts of arrays": lambda rows: [{"scores": np.array([0.5, np.nan])}] * rows,
    "a list of None": lambda rows: [None] * rows,
    "a list with None": lambda rows: with_last(rows, None),
    "a list with NaN": lambda rows: with_last(rows, float("nan")),
    "a list with infinity": lambda rows: with_last(rows, float("inf")),
    "a list with a numpy NaN": lambda rows: with_last(rows, np.float32("nan")),
    "a list of texts and NaN": lambda rows: ["NaN"] * rows + [float("nan")],
    "a list with a text": lambda rows: with_last(rows, "no"),
    "a list of decimals": lambda rows: [decimal.Decimal("0.5")] * rows,
    "a list of times": lambda rows: [NOON] * rows,
    "a list of days": lambda rows: [NOON.date()] * rows,
    "a list of times of day": lambda rows: [NOON.time()] * rows,
    "a list of durations": lambda rows: [datetime.timedelta(seconds=5)] * rows,
    "a list of timestamps": lambda rows: [pd.Timestamp(NOON)] * rows,
    "a list of NaT": lambda rows: [pd.NaT] * rows,
    "a list of pandas' NA": lambda rows: [pd.NA] * rows,
    "a list of bytes": lambda rows: [b"no"] * rows,
    "a list of complex numbers": lambda rows: [0.5j] * rows,
    "a list of huge integers": lambda rows: [2**70] * rows,
    "a list of enumerated values": lambda rows: [Colour.RED] * rows,
    "a list of models of pydantic": lambda rows: [Answer()] * rows,
    "a list of data classes": lambda rows: [Plain()] * rows,
    "a list of objects": lambda rows: [object()] * rows,
}
PANDAS: dict[str, Case] = {
    "a series without a name": series,
    "a series with a name": lambda rows: series(rows, name="score"),
    "a series with a number as its name": lambda rows: series(rows, name=7),
    "a series with two names": lambda rows: series(rows, name=("a", "b")),
    "a series with another index": lambda rows: series(rows, index=range(7, 7 + rows)),
    "a series in reverse order": lambda rows: series(rows, index=range(rows - 1, -1, -1)),
    "a series with fractions as its index": lambda rows: series(rows, index=numbers(rows)),
    "a series with texts as its index": lambda rows: series(rows, index=[f"row {row}" for row in range(rows)]),
    "a series with one index for all rows": lambda rows: series(rows, index=[7] * rows),
    "a series of float32": lambda rows: series(rows, np.float32),
    "a series of integers": lambda rows: pd.Series([3] * rows),
    "a series of booleans": lambda rows: pd.Series([True] * rows),
    "a series of texts": lambda rows: pd.Series(["no"] * rows),
    "a series of objects": lambda rows: pd.Series([np.int64(3)] * rows, dtype=object),
    "a series of 0-d arrays": lambda rows: pd.Series([np.array(0.5)] * rows, dtype=object),
    "a series of lists": lambda rows: pd.Series([[0.25, 0.75]] * rows),
    "a series of Float64": lambda rows: nullable(rows, "Float64"),
    "a series of Float64 with a gap": lambda rows: pd.Series(with_last(rows, None), dtype="Float64"),
    "a series of Int64": lambda rows: nullable(rows, "Int64"),
    "a series of nullable booleans": lambda rows: nullable(rows, "boolean"),
    "a series of nullable texts": lambda rows: pd.Series(["no"] * rows, dtype="string"),
    "a series of Arrow's integers": lambda rows: nullable(rows, "int64[pyarrow]"),
    "a series of categories": lambda rows: pd.Series(["no"] * rows, dtype="category"),
    "a series of numbers as categories": lambda rows: pd.Series([3] * rows, dtype="category"),
    "a series of times": lambda rows: pd.Series([pd.Timestamp("2013-06-01")] * rows),
    "a series of times with a zone": lambda rows: pd.Series([pd.Timestamp(NOON)] * rows),
    "a series of durations": lambda rows: pd.Series([pd.Timedelta("5s")] * rows),
    "a series with NaN": lambda rows: pd.Series(with_last(rows, np.nan)),
    "a series with infinity": lambda rows: pd.Series(with_last(rows, np.inf)),
    "an index": lambda rows: pd.Index(numbers(rows)),
    "a pandas array": lambda rows: pd.array([0.5] * rows, dtype="Float64"),
    "a table of one column": lambda rows: table(rows, score=0.5),
    "a table of probabilities": lambda rows: table(rows, no=0.25, yes=0.75),
    "a table with integer column names": lambda rows: pd.DataFrame(np.full((rows, 2), 0.5)),
    "a table with numpy integers as column names": lambda rows: pd.DataFrame(
        np.full((rows, 2), 0.5), columns=np.array([3, 5])
    ),
    "a table with booleans as column names": lambda rows: pd.DataFrame(np.full((rows, 2), 0.5), columns=[False, True]),
    "a table with fractions as column names": lambda rows: pd.DataFrame(np.full((rows, 2), 0.5), columns=[0.5, 1.5]),
    "a table with a column name that is NaN": lambda rows: pd.DataFrame(np.full((rows, 1), 0.5), columns=[np.nan]),
    "a table with times as column names": lambda rows: pd.DataFrame(
        np.full((rows, 1), 0.5), columns=pd.to_datetime(["2013-06-01"])
    ),
    "a table with two levels of column names": lambda rows: pd.DataFrame(
        np.full((rows, 2), 0.5), columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    ),
    "a table with another index": lambda rows: pd.DataFrame({"score": numbers(rows)}, index=range(7, 7 + rows)),
    "a table of different types": lambda rows: table(rows, score=0.5, label="no", flight=3, late=True),
    "a table of times and gaps": lambda rows: table(rows, time=pd.Timestamp("2013-06-01"), score=np.nan, text=None),
    "a table of decimals": lambda rows: table(rows, score=decimal.Decimal("0.5")),
    "a table of lists": lambda rows: table(rows, scores=[0.25, 0.75]),
    "a table of arrays": lambda rows: pd.DataFrame({"scores": [np.array([0.25, 0.75])] * rows}),
    "a table of Float64": lambda rows: table(rows, no=0.25, yes=0.75).astype("Float64"),
    "a table without columns": lambda rows: pd.DataFrame(index=range(rows)),
}
OTHERS: dict[str, Case] = {
    "a dict of lists": lambda rows: {"score": [0.5] * rows, "label": ["no"] * rows},
    "a dict of arrays": lambda rows: {"score": numbers(rows)},
    "a dict of series": lambda rows: {"score": series(rows)},
    "a dict of dicts": lambda rows: {"scores": {"no": numbers(rows), "yes": [np.float32(0.5)] * rows}},
    "a dict with integers as keys": lambda rows: {0: [0.25] * rows, 1: [0.75] * rows},
    "a dict with numpy integers as keys": lambda rows: {np.int64(0): [0.25] * rows},
    "a dict with tuples as keys": lambda rows: {("a", "b"): [0.25] * rows},
    "a number": lambda rows: 0.5,
    "NaN": lambda rows: float("nan"),
    "a numpy number": lambda rows: np.float64(0.5),
    "a text": lambda rows: "no",
    "bytes": lambda rows: b"no",
    "None": lambda rows: None,
    "a set": lambda rows: {0.5},
    "a range": range,
    "a generator": lambda rows: (0.5 for _ in range(rows)),
    "a sparse matrix": lambda rows: scipy.sparse.csr_matrix(np.eye(rows)),
    "a model of pydantic": lambda rows: Answer(),
    "too many rows": lambda rows: [0.5] * (rows + 1),
    "too few rows": lambda rows: [0.5] * (rows - 1),
    "an empty list": lambda rows: [],
    "a list that contains itself": lambda rows: (found := [0.5], found.append(found), found)[-1],
    "a deeply nested list": lambda rows: json.loads("[" * 900 + "]" * 900),
}
CORPUS = ARRAYS | LISTS | PANDAS | OTHERS
ENDING = "the end of the process"


class ReturningAnything(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        case = model_input["case"].iloc[0]
        return sys.exit("the model ends") if case == ENDING else CORPUS[case](len(model_input))


@pytest.fixture(scope="module")
def both(
    production: Replica, bus: BusClient, uploads: Uploads, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("served")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        mlflow.pyfunc.save_model(
            folder / "model", python_model=ReturningAnything(), pip_requirements=["mlflow"],
            signature=ModelSignature(inputs=Schema([ColSpec(DataType.string, "case")])),
        )  # fmt: skip
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    with both_serving(production, bus, uploads, NAME, folder, digest_tree(folder / "model")) as both:
        yield both


@pytest.mark.parametrize("case", CORPUS)
def test_invocations_are_those_of_the_scoring_server(both: Both, case: str) -> None:
    for rows in (1, 3):
        for body in bodies(case, rows):
            ours, theirs = both.ask(json.dumps(body).encode(), "application/json")
            if theirs.status_code == 500:
                assert ours.status_code == 400, ours.text
                assert ours.json()["error_code"] == "BAD_REQUEST"
                assert "the model" in ours.json()["message"]
                continue
            assert ours.status_code == theirs.status_code, (ours.text[:300], theirs.text[:300])
            if theirs.status_code == 200:
                assert valid(ours) == json.loads(theirs.text, parse_constant=lambda _word: None)
            else:
                assert ours.json()["error_code"] == theirs.json()["error_code"]


def bodies(case: str, rows: int) -> list[dict[str, Any]]:
    """One that fits the signature, and one that MLflow's code reads."""
    return [
        {"dataframe_records": [{"case": case}] * rows},
        {"dataframe_split": {"columns": ["case"], "index": list(range(rows)), "data": [[case]] * rows}},
    ]


def test_a_model_that_ends_the_process_fails_alone(both: Both) -> None:
    """The scoring server does end."""
    for body in bodies(ENDING, 2):
        ours = both.ours.post(f"/models/{NAME}/invocations", json=body)
        assert ours.status_code == 400 and ours.json()["error_code"] == "BAD_REQUEST", ours.text
    ours = both.ours.post(f"/models/{NAME}/predict", json={"rows": [{"case": ENDING}]})
    assert not is_answered(ours, "detail") and "the model ends" in ours.text


@pytest.mark.parametrize("case", CORPUS)
def test_the_other_protocols_answer_or_say_what_the_model_returned(both: Both, case: str) -> None:
    for rows in (1, 3):
        ours = both.ours.post(f"/models/{NAME}/predict", json={"rows": [{"case": case}] * rows})
        if is_answered(ours, "detail"):
            predictions = valid(ours)["predictions"]
            assert len(predictions) == rows
            assert not any(prediction["label"] is None for prediction in predictions)
        tensor = {"name": "case", "shape": [rows], "datatype": "BYTES", "data": [case] * rows}
        for parameters in ({}, {"binary_data_output": True}):
            request = {"inputs": [tensor], "parameters": parameters}
            ours = both.ours.post(f"/v2/models/{NAME}/infer", json=request)
            if is_answered(ours, "error") and not parameters:
                assert [output["shape"][0] for output in valid(ours)["outputs"]] == [rows] * len(valid(ours)["outputs"])
                assert not any(value is None for output in valid(ours)["outputs"] for value in output["data"])


def is_answered(response: httpx.Response, field: str) -> bool:
    """Whether there is an answer; otherwise the refusal is the model's failure, in words."""
    if response.status_code == 200:
        return True
    assert response.status_code == 503, response.text
    words = response.json()[field]
    assert f"'{NAME}' version 1 failed on valid rows: " in words and "see the log" not in words
    return False


def valid(response: httpx.Response) -> Any:
    """The body, if it has neither NaN nor Infinity."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON: {response.text[:300]}")

    return json.loads(response.content, parse_constant=refuse)
