"""Every form that is offered answers as its model does: on all rows, on missing and unseen values, on the edges."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from forms import ParityReport, candidates, parity_rows, prove
from support.form_models import COLUMNS, amounts, answers, coded, dense, piped, sides, table, thirds, to_rows

TREES = ["onnxruntime", "treelite", "numpy+sklearn"]
LINEAR = ["linear", "numpy+sklearn"]
CATEGORICAL = {"categorical_features": [0, 1, 2], "max_iter": 20, "random_state": 0}
FEW = {"n_estimators": 10, "random_state": 0}

MODELS: dict[str, tuple[Any, Any, list[str]]] = {
    "histogram, two classes": (piped(coded(), HistGradientBoostingClassifier(**CATEGORICAL)), sides, TREES),
    "histogram, three classes": (piped(coded(), HistGradientBoostingClassifier(**CATEGORICAL)), thirds, TREES),
    "histogram, amounts": (piped(coded(), HistGradientBoostingRegressor(**CATEGORICAL)), amounts, TREES),
    "histogram, one-hot": (piped(dense(), HistGradientBoostingRegressor(max_iter=10)), amounts, TREES),
    "forest, two classes": (piped(dense(), RandomForestClassifier(**FEW)), sides, TREES),
    "forest, three classes": (piped(dense(), RandomForestClassifier(**FEW)), thirds, TREES),
    "forest, missing": (piped(coded(), RandomForestClassifier(max_depth=6, **FEW)), sides, TREES),
    "forest, amounts": (piped(dense(), RandomForestRegressor(**FEW)), amounts, TREES),
    "extra trees": (piped(dense(), ExtraTreesClassifier(**FEW)), thirds, TREES),
    "one tree": (piped(coded(), DecisionTreeClassifier(random_state=0)), sides, TREES),
    "one tree, amounts": (piped(coded(), DecisionTreeRegressor(random_state=0)), amounts, TREES),
    "boosting, two classes": (piped(dense(), GradientBoostingClassifier(**FEW)), sides, TREES),
    "boosting, three classes": (piped(dense(), GradientBoostingClassifier(**FEW)), thirds, TREES),
    "boosting, amounts": (piped(dense(), GradientBoostingRegressor(**FEW)), amounts, TREES),
    "logistic, two classes": (piped(dense(), LogisticRegression(max_iter=500)), sides, LINEAR),
    "logistic, three classes": (piped(dense(), LogisticRegression(max_iter=500)), thirds, LINEAR),
    "gradient descent": (piped(dense(), SGDClassifier(loss="log_loss", random_state=0)), sides, LINEAR),
    "ridge, three classes": (piped(dense(), RidgeClassifier()), thirds, LINEAR),
    "least squares": (piped(dense(), LinearRegression()), amounts, LINEAR),
    "ridge": (piped(dense(), Ridge()), amounts, LINEAR),
    "poisson": (piped(dense(), PoissonRegressor()), lambda frame: abs(amounts(frame)), LINEAR),
    "histogram, target encoding": (piped(coded(words=TargetEncoder()), HistGradientBoostingClassifier()), sides, TREES),
    "histogram, after computed columns": (
        piped(coded(numbers=make_pipeline(SimpleImputer(), PCA(2))), HistGradientBoostingRegressor(**CATEGORICAL)),
        amounts,
        TREES,
    ),
    "lasso": (piped(dense(), Lasso(alpha=0.01)), amounts, LINEAR),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_form_answers_as_the_model_does(name: str) -> None:
    model, target, expected_forms = MODELS[name]
    frame = table()
    model.fit(frame, target(frame))
    rows = to_rows(table(800, seed=2))
    rows += parity_rows(rows, COLUMNS, limit=700)
    for method in [each for each in ("predict", "predict_proba") if hasattr(model, each)]:
        expected = answers(model, method, rows)
        forms, refused = candidates(model, COLUMNS, method)
        assert [form.name for form in forms] == expected_forms, refused
        for form in forms:
            proof = prove(form, rows, expected)
            assert isinstance(proof, ParityReport) and proof.holds, proof
            assert proof.rows == len(rows)
            for number in (0, 17, len(rows) - 1):  # one row alone takes another way through the encoder
                assert isinstance(
                    alone := prove(form, rows[number : number + 1], expected[number : number + 1]), ParityReport
                )
                assert alone.holds, alone
