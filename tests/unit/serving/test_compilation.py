"""The fastest form that is proven; why a faster one is not used is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import forms.choosing
from chassis.row_validation import RowsRefused
from forms import NATIVE
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel, warm_up
from serving.loading.compilation import compile_model
from serving.policy.versions import Artifact
from support.versions import FEATURES, ROW, pipeline, save

Ready = Callable[..., LoadedModel]


@pytest.fixture
def ready(tmp_path: Path) -> Ready:
    def make(estimator: Any, **options: Any) -> LoadedModel:
        save(estimator, tmp_path / "model", **options)
        model = load(Artifact("flights", 1, "none"), tmp_path / "model")
        warm_up(model)
        return model

    return make


def boosting() -> tuple[Any, pd.DataFrame]:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"distance": random.normal(800, 300, 300), "carrier": random.choice(["UA", "AA"], 300)})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough", sparse_threshold=0
    )
    estimator = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=10))
    return estimator.fit(frame, frame["distance"] > 800), frame


def test_gradient_boosting_is_served_compiled_and_says_how_alike_it_is(ready: Ready) -> None:
    estimator, frame = boosting()
    model = ready(estimator, example=frame.head(3))
    served = compile_model(model, 1e-6)
    assert model.form is not None and served.name == model.form.name != NATIVE
    about = served.about()
    assert about["parity"]["rows"] > 300 and about["parity"]["labels_differ"] == 0
    assert about["parity"]["largest_difference"] <= 1e-6
    rows = [ROW, ROW | {"distance": None}, ROW | {"carrier": "ZZ"}]
    expected = estimator.predict_proba(pd.DataFrame(rows))[:, 1]
    assert np.allclose(model.predict(model.reader.read(rows, 10)).scores, expected, atol=1e-6)


def test_columns_that_are_optional_because_values_were_missing_are_compiled_too(ready: Ready) -> None:
    """MLflow infers that from one missing value in the frame that the signature is made of."""
    estimator, frame = boosting()
    holed = frame.head(20).copy()
    holed.loc[3, "distance"] = holed.loc[4, "carrier"] = None
    model = ready(estimator, example=holed)
    assert not any(column.required for column in model.signature.columns)
    assert compile_model(model, 1e-6).name != NATIVE and model.form is not None
    rows = [ROW, {"carrier": "AA"}, {"distance": 900.0}]
    expected = estimator.predict_proba(pd.DataFrame(rows))[:, 1]
    assert np.allclose(model.predict(model.reader.read(rows, 10)).scores, expected, atol=1e-6)
    with pytest.raises(RowsRefused, match=r"rows\[0\].carrier is missing; expected a value: without one this model"):
        model.predict(model.reader.read([{"distance": 900.0}], 10))


def test_an_example_without_an_optional_column_proves_no_form(ready: Ready) -> None:
    estimator, frame = boosting()
    signature = infer_signature(frame.assign(gate=["A", None] * 150), estimator.predict_proba(frame))
    model = ready(estimator, example=frame.head(3), signature=signature)
    assert compile_model(model, 1e-6).refused[0].reason == "the model's input example lacks 'gate'"
    assert model.form is None and model.predict(model.reader.read([ROW], 10)).scores


def test_what_the_native_model_refuses_its_form_refuses_in_the_same_words(ready: Ready) -> None:
    model = ready(pipeline())
    assert compile_model(model, 1e-6).name == "linear"
    with pytest.raises(RowsRefused, match=r"rows\[0\].distance is null; expected a value.*NaN"):
        model.predict(model.reader.read([ROW | {"distance": None}], 10))


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that no compiler knows."""

    def fit(self, X: Any, y: Any) -> Own:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> Any:
        score = np.clip(X["distance"].fillna(0).to_numpy() / 3000, 0, 1)
        return np.column_stack([1 - score, score])


def test_a_model_that_no_compiler_knows_is_served_natively_and_why_is_said(ready: Ready) -> None:
    model = ready(Own().fit(FEATURES, None))
    served = compile_model(model, 1e-6)
    assert (served.name, served.proof, model.form) == (NATIVE, None, None)
    assert any("Own" in each.reason for each in served.refused)


class Lying:
    """A form that is off by a little, or answers what the model refuses."""

    name = "lying"

    def __init__(self, off: float) -> None:
        self._off = off

    def predict(self, rows: Any) -> Any:
        scores = np.array([0.25 + self._off for _ in rows])
        return np.column_stack([1 - scores, scores])


@pytest.mark.parametrize(("off", "form"), [(0.0, "lying"), (1e-7, "lying"), (1e-3, NATIVE), (0.5, NATIVE)])
def test_a_form_that_is_off_by_more_than_the_tolerance_is_not_used(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, off: float, form: str
) -> None:
    from sklearn.dummy import DummyClassifier

    model = ready(DummyClassifier(strategy="prior").fit(FEATURES, [0, 0, 0, 1]))
    monkeypatch.setattr(forms.choosing, "candidates", lambda *_: ([Lying(off)], []))
    served = compile_model(model, 1e-6)
    assert served.name == form
    if form == NATIVE:
        assert "differs from the model" in served.refused[0].reason


def test_a_form_that_answers_what_the_model_refuses_is_not_used(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ready(pipeline())
    honest = forms.candidates

    def credulous(estimator: Any, columns: Any, method: str) -> Any:
        found, refused = honest(estimator, columns, method)

        class Credulous:
            name = "credulous"

            def predict(self, rows: Any) -> Any:
                return found[0].predict([(row[0] or 0.0, row[1]) for row in rows])

        return [Credulous()], refused

    monkeypatch.setattr(forms.choosing, "candidates", credulous)
    served = compile_model(model, 1e-6)
    assert served.name == NATIVE and "answers a row that the model refuses" in served.refused[-1].reason


def test_without_an_example_there_is_nothing_to_prove_a_form_by(ready: Ready) -> None:
    model = ready(pipeline(), input_example=None)
    assert compile_model(model, 1e-6).name == NATIVE
