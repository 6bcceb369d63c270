"""A value that is a split's threshold, or next to it, goes to the side where the model's own library sends it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

from forms import Column, ParityReport, candidates, prove
from forms.estimators import single
from forms.onnx_trees import runner
from forms.transformers import Raw
from forms.tree_models import tree_model
from support.form_models import NUMBERS, amounts, answers, table

COLUMNS = [Column(name, "double") for name in NUMBERS]
FRAME = table()[list(NUMBERS)].fillna(0) * 1.1  # thresholds halfway between two digits would be too easy
TARGET = amounts(table())
FEW = {"n_estimators": 10, "random_state": 0}


def extreme() -> Any:
    xgboost: Any = pytest.importorskip("xgboost")
    return xgboost.XGBRegressor(n_estimators=10, n_jobs=1)


def light() -> Any:
    lightgbm: Any = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    return lightgbm.LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1)


MODELS: dict[str, Any] = {
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=10),
    "forest": lambda: RandomForestRegressor(max_depth=8, **FEW),
    "boosting": lambda: GradientBoostingRegressor(**FEW),
    "xgboost": extreme,
    "lightgbm": light,
}


@pytest.mark.parametrize("name", MODELS)
def test_values_at_and_next_to_every_threshold(name: str) -> None:
    model = MODELS[name]().fit(FRAME, TARGET)
    parts = [Raw(place, column) for place, column in enumerate(COLUMNS)]
    trees = tree_model(model, parts, "predict").ensemble.trees
    usual = FRAME.median().tolist()
    rows = []
    for tree in trees:
        for node in np.flatnonzero(tree.left >= 0).tolist():
            feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
            rounded = np.float32(threshold)
            near = [threshold, float(rounded)]
            near += [float(np.nextafter(value, side)) for value in (threshold, rounded) for side in (-np.inf, np.inf)]
            for value in near:
                row = list(usual)
                row[feature] = value
                rows.append(tuple(row))
    forms, _ = candidates(model, COLUMNS, "predict")
    proof = prove(forms[0], rows, answers(model, "predict", rows, COLUMNS))
    assert forms[0].name == "onnxruntime" and len(rows) > 300
    assert isinstance(proof, ParityReport) and proof.holds, proof


def test_the_test_would_notice_single_precision() -> None:
    """What ONNX converters usually do: thresholds and values rounded to 32 bits."""
    target = TARGET > 2
    model = HistGradientBoostingClassifier(max_iter=10).fit(FRAME, target)
    found = tree_model(model, [Raw(place, column) for place, column in enumerate(COLUMNS)], "predict_proba")
    thresholds = {(int(t.feature[n]), float(t.threshold[n])) for t in found.ensemble.trees for n in range(len(t.left))}
    matrix = np.tile(FRAME.median().to_numpy(), (len(thresholds), 1))
    for row, (feature, threshold) in enumerate(sorted(thresholds)):
        matrix[row, max(feature, 0)] = np.nextafter(threshold, np.inf)
    answer = found.answer(runner(found.ensemble), "predict_proba")
    expected = answers(model, "predict_proba", list(map(tuple, matrix.tolist())), COLUMNS)
    np.testing.assert_array_equal(answer(matrix), expected)
    assert np.abs(single(answer)(matrix) - expected).max() > 1e-3
