"""Models saved by MLflow, loaded, warmed up and asked; what cannot be served says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression

from chassis.errors import Permanent
from chassis.row_validation import RowsRefused
from contracts import OutputFormat
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel, ModelFailed, warm_up
from serving.policy.versions import Artifact
from support.versions import FEATURES, ROW, pipeline, save

THREE = ["a", "b", "c", "a"]


class Scripted(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Answers what it was made with, whatever it is asked; raises it when it is an exception."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return np.array([self.answer] * len(model_input))


class Recording(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Keeps what it was asked."""

    def __init__(self, path: str) -> None:
        self.path = path

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        model_input.to_pickle(self.path)
        return np.zeros(len(model_input))


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., LoadedModel]:
    def make(estimator: Any, **options: Any) -> LoadedModel:
        save(estimator, tmp_path / "model", **options)
        return load(Artifact("flights", 1, "none"), tmp_path / "model")

    return make


def scripted(
    answer: Any,
    folder: Path,
    *,
    example: pd.DataFrame | None = FEATURES,
    roles: Any = None,
    output: OutputFormat | None = None,
) -> LoadedModel:
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=Scripted(answer),
        signature=infer_signature(FEATURES, np.array([[0.5, 0.5]])),
        pip_requirements=["mlflow"],
        metadata={"gauntlet": roles} if roles else None,
    )
    model = load(Artifact("flights", 1, "none", output), folder / "model")
    rows = [] if example is None else example.to_dict("records")
    return LoadedModel(model.artifact, model.signature, rows, model.pyfunc)


def ask(model: LoadedModel, *rows: dict[str, Any]) -> Any:
    return model.predict(model.reader.read(list(rows), 100))


def test_roles_and_example_come_with_the_model(loaded: Callable[..., LoadedModel]) -> None:
    model = loaded(pipeline())
    assert (model.signature.entity, model.signature.event_time, model.signature.label) == (
        "tailnum",
        "departed",
        "late",
    )
    assert [(column.name, column.kind) for column in model.signature.columns] == [
        ("distance", "double"),
        ("carrier", "string"),
    ]
    assert list(model.example) == FEATURES.to_dict("records")
    warm_up(model)


@pytest.mark.parametrize("form", ["cloudpickle", "pickle", "skops"])
def test_a_binary_model_answers_labels_and_scores(loaded: Callable[..., LoadedModel], form: str) -> None:
    estimator = pipeline()
    answers = ask(loaded(estimator, serialization_format=form), ROW, ROW | {"distance": 2000})
    expected = estimator.predict_proba(pd.DataFrame([ROW, ROW | {"distance": 2000.0}]))[:, 1]
    assert answers.scores == expected.tolist()
    assert answers.labels == [int(score >= 0.5) for score in expected]


def test_a_multiclass_model_answers_its_classes(loaded: Callable[..., LoadedModel]) -> None:
    estimator = DummyClassifier(strategy="prior").fit(FEATURES, THREE)
    answers = ask(loaded(estimator, roles={"problem": "multiclass", "classes": ["a", "b", "c"]}), ROW)
    assert answers.labels == ["a"]
    assert answers.scores == [[0.5, 0.25, 0.25]]


def test_a_regression_answers_numbers(loaded: Callable[..., LoadedModel]) -> None:
    estimator = DummyRegressor().fit(FEATURES, [1.0, 2.0, 3.0, 4.0])
    options = {"pyfunc_predict_fn": "predict", "signature": infer_signature(FEATURES, np.array([2.5]))}
    answers = ask(loaded(estimator, roles={"problem": "regression"}, **options), ROW)
    assert answers.labels == [2.5] and answers.scores is None


@pytest.mark.parametrize(
    ("estimator", "method", "label", "has_scores"),
    [
        (DummyClassifier(strategy="prior").fit(FEATURES, [0, 1, 1, 1]), "predict_proba", 1, True),
        (DummyClassifier(strategy="prior").fit(FEATURES, THREE), "predict_proba", 0, True),
        (DummyClassifier(strategy="prior").fit(FEATURES, THREE), "predict", "a", False),
        (DummyRegressor().fit(FEATURES, [1.0, 2.0, 3.0, 4.0]), "predict", 2.5, False),
    ],
)
def test_a_model_of_somebody_else_is_read_by_the_shape_of_its_answers(
    loaded: Callable[..., LoadedModel], estimator: Any, method: str, label: Any, has_scores: bool
) -> None:
    signature = infer_signature(FEATURES, getattr(estimator, method)(FEATURES))
    answers = ask(loaded(estimator, roles=None, pyfunc_predict_fn=method, signature=signature), ROW)
    assert answers.labels == [label]
    assert (answers.scores is not None) is has_scores


BINARY, REGRESSION = OutputFormat(problem="binary"), OutputFormat(problem="regression")
WORDS = OutputFormat(problem="binary", classes=("no", "yes"), label="arrives_late")


@pytest.mark.parametrize(
    ("answer", "roles", "output", "labels", "scores"),
    [
        (0.731, None, BINARY, [1], [0.731]),
        (0.731, None, WORDS, ["yes"], [0.731]),
        (0.731, None, None, [0.731], None),
        (1, None, REGRESSION, [1.0], None),
        ([0.2, 0.8], None, OutputFormat(problem="multiclass", classes=("no", "yes")), ["yes"], [[0.2, 0.8]]),
        (0.731, {"problem": "regression"}, BINARY, [1], [0.731]),
        (0.731, {"problem": "binary", "classes": ["a", "b"]}, WORDS, ["yes"], [0.731]),
        (0.731, {"problem": "ranking"}, BINARY, [1], [0.731]),
        (0.731, {"problem": "binary"}, None, [1], [0.731]),
    ],
)
def test_predictions_are_read_as_the_gates_read_them_and_only_else_as_the_model_declares(
    tmp_path: Path, answer: Any, roles: Any, output: OutputFormat | None, labels: Any, scores: Any
) -> None:
    found = ask(scripted(answer, tmp_path, roles=roles, output=output), ROW)
    assert (found.labels, found.scores) == (labels, scores)
    assert type(found.labels[0]) is type(labels[0])


def test_the_label_that_the_gates_used_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(RowsRefused, match="arrives_late is 1; expected no label"):
        ask(scripted(0.731, tmp_path, output=WORDS), ROW | {"arrives_late": 1})


def test_a_null_that_the_model_does_not_take_is_the_fault_of_the_row(loaded: Callable[..., LoadedModel]) -> None:
    with pytest.raises(RowsRefused, match=r"rows\[1\].distance is null; expected a value.*NaN"):
        ask(loaded(pipeline()), ROW, ROW | {"distance": None})


def test_a_null_in_rows_that_the_model_fails_on_anyway_is_the_fault_of_the_model(
    loaded: Callable[..., LoadedModel],
) -> None:
    with pytest.raises(ModelFailed, match="unknown categories"):
        ask(loaded(pipeline(unknown="error")), {"distance": None, "carrier": "ZZ"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (RuntimeError("no good\nmore"), "RuntimeError: no good$"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(), "StopIteration"),
        (float("nan"), "NaN or infinite"),
        ([0.5, float("inf")], "NaN or infinite"),
        ([0.1, 1.9], "outside"),
        ([0.1, 0.2, 0.7], "binary"),
        ("late", "none of the classes"),
    ],
)
def test_what_a_model_raises_or_answers_wrongly_is_a_failure_of_the_model(
    tmp_path: Path, answer: Any, said: str
) -> None:
    model = scripted(answer, tmp_path, roles={"problem": "binary"})
    with pytest.raises(ModelFailed, match=said):
        ask(model, ROW)
    with pytest.raises(Permanent, match=r"fails on 1 row.* of its own input example"):
        warm_up(model)


def test_missing_values_of_every_kind_reach_the_model(tmp_path: Path) -> None:
    kinds = {"d": DataType.double, "f": DataType.float, "s": DataType.string, "t": DataType.datetime}
    optional = {"o": DataType.double, "w": DataType.long, "b": DataType.boolean}
    columns = [ColSpec(kind, name) for name, kind in kinds.items()]
    columns += [ColSpec(kind, name, required=False) for name, kind in optional.items()]
    seen = tmp_path / "seen.pkl"
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Recording(str(seen)),
        signature=ModelSignature(Schema(columns)),
        pip_requirements=["mlflow"],
    )
    model = load(Artifact("flights", 1, "none"), tmp_path / "model")
    ask(model, dict.fromkeys(kinds), dict.fromkeys(kinds))
    assert pd.read_pickle(seen).isna().all().all()
    ask(
        model,
        dict.fromkeys(kinds) | {"o": None, "w": 1, "b": True},
        dict.fromkeys(kinds) | {"o": 1, "w": 2, "b": False},
    )
    assert pd.read_pickle(seen)["w"].tolist() == [1, 2]


def test_a_model_without_an_example_is_served_without_a_warm_up(tmp_path: Path) -> None:
    warm_up(scripted([0.5, 0.5], tmp_path, example=None))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"signature": None, "input_example": None}, "no signature"),
        (
            {"signature": ModelSignature(Schema([TensorSpec(np.dtype(float), (-1, 2, 2))])), "input_example": None},
            r"shape \(-1, 2, 2\)",
        ),
        ({"signature": ModelSignature(Schema([ColSpec(DataType.binary, "photo")])), "input_example": None}, "'photo'"),
        (
            {"signature": ModelSignature(Schema([ColSpec(Array(DataType.double), "many")])), "input_example": None},
            "'many'",
        ),
        ({"metadata": {"gauntlet": {"problem": "ranking"}}}, "'ranking'.*binary, multiclass"),
        ({"metadata": {"gauntlet": "binary"}}, "'binary'; expected a mapping"),
        ({"metadata": {"gauntlet": {"classes": 2}}}, "classes are 2"),
    ],
)
def test_a_model_whose_rows_cannot_be_read_never_loads(
    loaded: Callable[..., LoadedModel], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Permanent, match=said):
        loaded(
            LogisticRegression().fit(FEATURES[["distance"]], [0, 1, 0, 1]), example=FEATURES[["distance"]], **options
        )


def test_a_file_that_is_no_model_never_loads(tmp_path: Path) -> None:
    save(pipeline(), tmp_path / "model")
    (tmp_path / "model" / "model.pkl").write_bytes(b"no pickle")
    with pytest.raises(Permanent, match="cannot load the model: UnpicklingError"):
        load(Artifact("flights", 1, "none"), tmp_path / "model")
