"""What can be served is decided in one place, with the words that say how to log the model; matrices can."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from sklearn.linear_model import LogisticRegression

from chassis import mlmodel
from chassis.errors import Permanent
from chassis.row_validation import RowsRefused
from chassis.scoring import scorer_of
from chassis.servable import Servable, servable
from contracts import OutputFormat

MATRIX = np.random.default_rng(0).normal(size=(60, 3))
LATE = (MATRIX[:, 0] > 0).astype(int)
BINARY = OutputFormat(problem="binary", classes=(0, 1))
ESTIMATOR = LogisticRegression().fit(MATRIX, LATE)


def saved(folder: Path, signature: Any, **options: Any) -> Any:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"pip_requirements": [], "serialization_format": "cloudpickle", **options}
        mlflow.sklearn.save_model(ESTIMATOR, folder / "model", signature=signature, **options)
        return mlflow.pyfunc.load_model(str(folder / "model"))


def found(pyfunc: Any, output: OutputFormat | None = BINARY) -> Servable:
    return servable(pyfunc, scorer_of(pyfunc, output.problem if output else None), output)


def one(kind: Any) -> ModelSignature:
    return ModelSignature(Schema([ColSpec(DataType.double, "distance"), ColSpec(kind, "many")]))


def tensor(dtype: Any, *shape: int, name: str | None = None) -> ModelSignature:
    return ModelSignature(Schema([TensorSpec(np.dtype(dtype), shape, name)]))


UNSERVABLE: dict[str, tuple[Any, str]] = {
    "no signature": (None, "no signature: log it with signature=infer_signature"),
    "array column": (one(Array(DataType.double)), "column 'many' has type Array(double); served columns are double, "),
    "object column": (
        one(Object([Property("x", DataType.long)])),
        "column 'many' has type {x: long (required)}; served",
    ),
    "map column": (one(Map(DataType.long)), "column 'many' has type Map(str -> "),
    "any column": (one(AnyType()), "column 'many' has type Any; served"),
    "binary column": (one(DataType.binary), "column 'many' has type binary; served"),
    "uint64": (
        infer_signature(pd.DataFrame({"a": np.arange(3, dtype="uint64"), "b": [0.1, 0.2, 0.3]})),
        "no named columns, but Any: infer it from a DataFrame: infer_signature(features, predictions); one column of a"
        " type that MLflow does not know, such as uint64, timedelta or Decimal, is enough: convert it first",
    ),
    "timedelta": (infer_signature(pd.DataFrame({"a": pd.to_timedelta([1, 2], "s")})), "such as uint64, timedelta or"),
    "no columns": (infer_signature(pd.DataFrame(index=range(3))), "no named columns"),
    "list of numbers": (
        infer_signature([1.0, 2.0]),
        "no named columns, but double: infer it from a DataFrame",
    ),
    "list of lists": (infer_signature([[1.0, 2.0]]), "no named columns, but Array(double): infer it from a DataFrame"),
    "same name twice": (
        ModelSignature(Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "a")])),
        "2 columns of the model's signature are named 'a': rename all but one",
    ),
    "named tensors": (infer_signature({"x": MATRIX, "y": MATRIX}), "named tensors (['x': Tensor('float64', (-1, 3)), "),
    "one named tensor": (tensor("float64", -1, 3, name="x"), "named tensors"),
    "cube": (
        tensor("float64", -1, 3, 4),
        "a tensor of shape (-1, 3, 4); served are tables, and a matrix of shape (-1, c",
    ),
    "vector": (tensor("float64", -1), "a tensor of shape (-1,)"),
    "fixed rows": (tensor("float64", 3, 3), "a tensor of shape (3, 3)"),
    "any width": (tensor("float64", -1, -1), "a tensor of shape (-1, -1)"),
    "bytes": (tensor("uint8", -1, 3), "a tensor of uint8; served are those of float64, float32, int64, int32, bool: "),
    "texts": (tensor("str", -1, 3), "a tensor of str; served"),
    "objects": (tensor("object", -1, 3), "a tensor of object; served"),
}


@pytest.mark.parametrize("name", UNSERVABLE)
def test_what_cannot_be_served_says_how_to_log_it(name: str, tmp_path: Path) -> None:
    signature, said = UNSERVABLE[name]
    with pytest.raises(Permanent) as refused:
        found(saved(tmp_path, signature))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"gauntlet": "binary"}, "metadata 'gauntlet' is 'binary'; expected a mapping"),
        ({"gauntlet": {"problem": "ranking"}}, None),
        ({"gauntlet": {"classes": 2}}, None),
    ],
)
def test_metadata_that_the_gates_do_not_use_is_no_reason(metadata: Any, said: str | None, tmp_path: Path) -> None:
    model = saved(tmp_path, infer_signature(pd.DataFrame(MATRIX, columns=["a", "b", "c"])), metadata=metadata)
    if said is None:
        assert found(model).signature.problem == "binary"
    else:
        with pytest.raises(Permanent, match=said):
            found(model)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("float64", "double"), ("float32", "float"), ("int64", "long"), ("int32", "integer"), ("bool", "boolean")],
)
@pytest.mark.parametrize("width", [1, 3])
def test_a_matrix_of_every_type_that_requests_can_carry_reaches_the_model_as_one(
    dtype: str, kind: str, width: int, tmp_path: Path
) -> None:
    values = (10 * MATRIX[:, :width]).astype(dtype)
    estimator = LogisticRegression().fit(values, LATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(values, LATE)
        options = {"pip_requirements": [], "serialization_format": "cloudpickle", "input_example": values[:4]}
        mlflow.sklearn.save_model(estimator, tmp_path / "model", signature=signature, **options)
        pyfunc = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    about = found(pyfunc)
    assert about.signature.is_tensor and {column.kind for column in about.signature.columns} == {kind}
    assert [column.name for column in about.signature.columns] == [str(place) for place in range(width)]
    assert len(about.example) == 4
    sent = values[:5].tolist()
    by_array = about.reader.read(sent, 10)
    by_name = about.reader.read([dict(zip(map(str, range(width)), row, strict=True)) for row in sent], 10)
    assert by_array.values == by_name.values
    scores = scorer_of(pyfunc, "binary").predict(by_array.frame)
    assert np.allclose(scores, estimator.predict_proba(values[:5]), rtol=1e-12)
    said = mlmodel.read(tmp_path / "model")
    assert said.inputs == tuple(str(place) for place in range(width)) and said.kinds == (kind,) * width


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 2.0]], r"rows\[0\] is an array of 2; expected an array of 3 values"),
        ([[1.0, 2.0, 3.0], {"0": 1.0, "1": 2.0, "2": 3.0}], r"rows\[1\] is an object of 3; expected an array of 3"),
        ([[1.0, 2.0, 3.0], 4], r"rows\[1\] is 4; expected an array"),
        ([[1.0, "x", 3.0]], r'rows\[0\].1 is "x"; expected a number'),
        ([[1.0, [2.0], 3.0]], r"rows\[0\].1 is an array of 1; expected a number"),
        ([], "at least one row"),
    ],
)
def test_rows_that_are_no_matrix_are_refused_by_place(rows: Any, said: str, tmp_path: Path) -> None:
    reader = found(saved(tmp_path, infer_signature(MATRIX, LATE))).reader
    with pytest.raises(RowsRefused, match=said):
        reader.read(rows, 10)


def test_arrays_are_no_rows_of_a_table(tmp_path: Path) -> None:
    reader = found(saved(tmp_path, infer_signature(pd.DataFrame(MATRIX, columns=["a", "b", "c"])))).reader
    with pytest.raises(RowsRefused, match="expected an object with the model's features"):
        reader.read([[1.0, 2.0, 3.0]], 10)


def test_columns_that_a_frame_numbers_are_named_by_their_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame(MATRIX)
    pyfunc = saved(tmp_path, infer_signature(frame, LATE), input_example=frame.head(3))
    about = found(pyfunc)
    assert [column.name for column in about.signature.columns] == ["0", "1", "2"] and not about.signature.is_tensor
    assert len(about.example) == 3
    table = about.reader.read([{"0": row[0], "1": row[1], "2": row[2]} for row in MATRIX[:5].tolist()], 10)
    scores = scorer_of(pyfunc, "binary").predict(table.frame)
    assert np.allclose(scores, ESTIMATOR.predict_proba(MATRIX[:5]), rtol=1e-12)
    assert mlmodel.read(tmp_path / "model").inputs == ("0", "1", "2")


def test_parameters_times_and_missing_outputs_are_no_reason(tmp_path: Path) -> None:
    columns = Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.datetime, "at")])
    params = ParamSchema([ParamSpec("threshold", "double", 0.5)])
    assert len(found(saved(tmp_path, ModelSignature(columns, params=params))).signature.columns) == 2


def test_an_input_example_that_no_request_can_have_is_not_used(tmp_path: Path) -> None:
    columns = Schema([ColSpec(DataType.long, "a"), ColSpec(DataType.double, "b")])
    example = pd.DataFrame({"a": [1, None], "b": [0.1, 0.2]})
    options = {"input_example": example}
    assert found(saved(tmp_path, ModelSignature(columns), **options)).example == []


def test_rows_may_carry_the_entity_and_the_time_that_the_gates_knew_of(tmp_path: Path) -> None:
    """Of a model that was logged without Gauntlet: they are kept for the event, and no feature."""
    features = pd.DataFrame(MATRIX, columns=["a", "b", "c"])
    pyfunc = saved(tmp_path, infer_signature(features, LATE))
    row = {"a": 1.0, "b": 2.0, "c": 3.0, "who": 7, "at": "2026-01-02T03:04:05Z"}
    with pytest.raises(RowsRefused) as refused:
        found(pyfunc).reader.read([row], 1)
    assert refused.value.reason == "unknown column"
    output = OutputFormat(problem="binary", classes=(0, 1), label="late", entity="who", event_time="at")
    reader = found(pyfunc, output).reader
    for rows in ([row], [row, {name: row[name] for name in "abc"}]):
        table = reader.read(rows, 2)
        assert [column.name for column in table.columns] == ["a", "b", "c"]
        assert (table.values[0], table.entities[0]) == ((1.0, 2.0, 3.0), "7")
        assert table.event_times[0].isoformat() == "2026-01-02T03:04:05+00:00"
    for wrong, reason in (
        ({"a": 1.0, "b": 2.0}, "missing column"),
        ({**row, "a": "x"}, "value"),
        ({**row, "late": 1}, "label"),
    ):
        with pytest.raises(RowsRefused) as refused:
            reader.read([wrong], 1)
        assert refused.value.reason == reason
