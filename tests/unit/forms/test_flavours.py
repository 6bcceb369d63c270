"""Models as MLflow keeps them: what its pyfunc answers, the forms of the native model inside it answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import HistGradientBoostingClassifier

from forms import Column, ParityReport, candidates, parity_rows, prove
from support.form_models import NUMBERS, amounts, coded, piped, sides, table, to_frame, to_rows

NOTHING: list[str] = []
"""To install; to find out what would be takes MLflow seconds a model."""


def proved(folder: Path, frame: Any) -> dict[str, bool]:
    """Form → whether it answers as the pyfunc does."""
    pyfunc = mlflow.pyfunc.load_model(str(folder))
    schema: Any = pyfunc.metadata.get_input_schema()
    columns = [Column(each.name, each.type.name) for each in schema.inputs]
    method = pyfunc.metadata.flavors["python_function"].get("predict_fn", "predict")
    rows = to_rows(frame)
    rows += parity_rows(rows, columns, limit=200)
    expected = np.asarray(pyfunc.predict(to_frame(rows, columns)))
    forms, _ = candidates(pyfunc.get_raw_model(), columns, method)
    found = [prove(form, rows, expected) for form in forms]
    return {proof.form: isinstance(proof, ParityReport) and proof.holds for proof in found}


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_pipeline_of_scikit_learn(method: str, tmp_path: Path) -> None:
    frame = table(800)
    model = piped(coded(), HistGradientBoostingClassifier(categorical_features=[0, 1, 2], max_iter=10))
    model.fit(frame, sides(frame))
    signature = infer_signature(frame.dropna(), model.predict(frame))
    options = {"pyfunc_predict_fn": method, "serialization_format": "cloudpickle", "pip_requirements": NOTHING}
    mlflow.sklearn.save_model(model, tmp_path / "model", signature=signature, **options)
    assert proved(tmp_path / "model", frame) == {"onnxruntime": True, "treelite": True, "numpy+sklearn": True}


def test_lightgbm_and_xgboost(tmp_path: Path) -> None:
    lightgbm: Any = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    xgboost: Any = pytest.importorskip("xgboost")
    frame = table(800)
    numbers, target = frame[list(NUMBERS)], (amounts(frame) > 2).astype(int)
    signature = infer_signature(numbers, target)
    light = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(numbers, target)
    extreme = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(numbers, target)
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(numbers, target), 5)
    other = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(numbers, target), 5)
    mlflow.lightgbm.save_model(light, tmp_path / "light", signature=signature, pip_requirements=NOTHING)
    mlflow.lightgbm.save_model(booster, tmp_path / "booster", signature=signature, pip_requirements=NOTHING)
    mlflow.xgboost.save_model(extreme, tmp_path / "extreme", signature=signature, pip_requirements=NOTHING)
    mlflow.xgboost.save_model(other, tmp_path / "other", signature=signature, pip_requirements=NOTHING)
    for name in ("light", "booster", "extreme", "other"):
        assert proved(tmp_path / name, numbers)["onnxruntime"], name
