"""LightGBM and XGBoost: their scikit-learn classes and their boosters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import OrdinalEncoder

from forms import Column, CompiledModel, ParityReport, Row, candidates, parity_rows, prove
from support.form_models import (
    COLUMNS,
    NUMBERS,
    amounts,
    answers,
    coded,
    piped,
    sides,
    table,
    thirds,
    to_frame,
    to_rows,
)

lightgbm: Any = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))  # OSError: it needs a libgomp
xgboost: Any = pytest.importorskip("xgboost")

PLAIN = [Column(name, "double") for name in NUMBERS]


def whole() -> Any:
    """LightGBM's categories are whole numbers."""
    return coded(words=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1))


LIGHT = {"n_estimators": 15, "verbose": -1, "n_jobs": 1}
EXTREME = {"n_estimators": 15, "n_jobs": 1}
MODELS: dict[str, tuple[Any, Any]] = {
    "lightgbm, two classes": (lightgbm.LGBMClassifier(**LIGHT), sides),
    "lightgbm, categories": (
        lightgbm.LGBMClassifier(categorical_feature=[0, 1, 2], min_child_samples=5, **LIGHT),
        sides,
    ),
    "lightgbm, three classes": (lightgbm.LGBMClassifier(**LIGHT), thirds),
    "lightgbm, amounts": (lightgbm.LGBMRegressor(**LIGHT), amounts),
    "lightgbm, random forest": (
        lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **LIGHT),
        sides,
    ),
    "xgboost, two classes": (xgboost.XGBClassifier(**EXTREME), lambda frame: (amounts(frame) > 2).astype(int)),
    "xgboost, three classes": (xgboost.XGBClassifier(**EXTREME), thirds),
    "xgboost, amounts": (xgboost.XGBRegressor(**EXTREME), amounts),
}


def proofs(forms: list[CompiledModel], rows: list[Row], expected: Any) -> dict[str, bool]:
    found = [prove(form, rows, expected) for form in forms]
    return {proof.form: proof.holds for proof in found if isinstance(proof, ParityReport)}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    known = to_rows(table(600, seed=2))
    return known + parity_rows(known, COLUMNS, limit=600)


@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_form_answers_as_the_library_does(name: str, rows: list[Row]) -> None:
    estimator, target = MODELS[name]
    frame = table()
    model = piped(whole(), estimator).fit(frame, target(frame))
    for method in [each for each in ("predict", "predict_proba") if hasattr(model, each)]:
        forms, _ = candidates(model, COLUMNS, method)
        held = proofs(forms, rows, answers(model, method, rows))
        assert held["onnxruntime"], held
        assert held[f"numpy+{name.partition(',')[0]}"]


def test_early_stopping_leaves_out_the_same_trees(rows: list[Row]) -> None:
    frame = table()
    encoded, target = whole().fit_transform(frame).astype(float), amounts(frame)
    late = (encoded[:300], target[:300])
    stopped = xgboost.XGBRegressor(n_estimators=200, learning_rate=0.5, early_stopping_rounds=3, n_jobs=1)
    stopped.fit(encoded[300:], target[300:], eval_set=[late], verbose=False)
    light = lightgbm.LGBMRegressor(**LIGHT | {"n_estimators": 200, "learning_rate": 0.5})
    light.fit(encoded[300:], target[300:], eval_set=[late], callbacks=[lightgbm.early_stopping(3, verbose=False)])
    columns = [Column(f"f{place}", "double") for place in range(encoded.shape[1])]
    sent = [tuple(None if value != value else value for value in row) for row in encoded.tolist()]
    for model in (stopped, light):
        forms, refused = candidates(model, columns, "predict")
        assert proofs(forms, sent, model.predict(encoded))["onnxruntime"], refused


def test_boosters_answer_alike(rows: list[Row]) -> None:
    frame = table()[list(NUMBERS)]
    target = (amounts(table()) > 2).astype(int)
    sent = [row[: len(NUMBERS)] for row in rows]
    light = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(frame, target), 9)
    extreme = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(frame, target), 9)
    asked = to_frame(sent, PLAIN)
    for booster, expected in ((light, light.predict(asked)), (extreme, extreme.predict(xgboost.DMatrix(asked)))):
        forms, refused = candidates(booster, PLAIN, "predict")
        assert proofs(forms, sent, np.asarray(expected)) == {"onnxruntime": True, "treelite": True}, refused


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (lightgbm.LGBMRegressor(linear_tree=True, **LIGHT), "treelite"),
        (xgboost.XGBRegressor(booster="dart", **EXTREME), "another booster than gbtree"),
        (xgboost.XGBRegressor(missing=0.0, **EXTREME), "0.0 for missing values"),
    ],
)
def test_what_cannot_be_compiled_is_served_as_it_is(estimator: Any, reason: str) -> None:
    frame = table(300)
    model = piped(whole(), estimator).fit(frame, amounts(frame))
    forms, refused = candidates(model, COLUMNS, "predict")
    assert [form.name for form in forms] == [f"numpy+{type(estimator).__module__.partition('.')[0]}"]
    assert reason in {each.form: each.reason for each in refused}["onnxruntime"]
