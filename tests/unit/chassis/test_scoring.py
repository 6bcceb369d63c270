"""Scores are found where a model has them, whatever library made it and however it was logged; else it says so."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from chassis.scoring import Scorer, scorer_of

RANDOM = np.random.default_rng(0)
X = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=["a", "b", "c"])
BINARY = (X["a"] + RANDOM.normal(size=200) > 0).astype(int)
WORDS = np.where(BINARY == 1, "late", "early")
MANY = np.digitize(X["a"], [-0.5, 0.5])
COLOURS = np.array(["blue", "green", "red"])[MANY]
MATRIX = xgboost.DMatrix(X, BINARY), xgboost.DMatrix(X, MANY)
# Models are fitted in the tests: each process that runs tests imports this file.


def saved(folder: Path, model: Any, **options: Any) -> mlflow.pyfunc.PyFuncModel:
    """What `mlflow.<flavour>.save_model` makes of a model, with a signature and otherwise its defaults."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    library = type(model).__module__.partition(".")[0]
    flavour = getattr(
        mlflow, {"lightgbm": "lightgbm", "xgboost": "xgboost", "catboost": "catboost"}.get(library, "sklearn")
    )
    if flavour is mlflow.sklearn:
        options["serialization_format"] = "cloudpickle"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"signature": infer_signature(X, np.zeros(1)), "pip_requirements": ["mlflow"], **options}
        flavour.save_model(model, folder / "model", **options)
        return mlflow.pyfunc.load_model(str(folder / "model"))


def same(one: Any, other: Any) -> bool:
    """Up to the last bit: MLflow gives the model a frame of another layout in memory, and sums go another way."""
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-12, atol=0)


def own_code(folder: Path, answer: Callable[[pd.DataFrame], Any]) -> mlflow.pyfunc.PyFuncModel:
    class Own(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return answer(model_input)

        def predict_proba(self, data: Any) -> Any:
            raise AssertionError("of its own code, predict alone is known")

    options = {"signature": infer_signature(X, np.zeros(1)), "pip_requirements": ["mlflow"]}
    mlflow.pyfunc.save_model(folder / "model", python_model=Own(), **options)
    return mlflow.pyfunc.load_model(str(folder / "model"))


def lgbm(y: Any) -> Any:
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)


def lgb_booster(objective: str, y: Any, **options: Any) -> Any:
    return lightgbm.train({"objective": objective, "verbose": -1, **options}, lightgbm.Dataset(X, y), 5)


def xgb_booster(objective: str, many: bool = False) -> Any:
    return xgboost.train({"objective": objective, **({"num_class": 3} if many else {})}, MATRIX[many], 5)


def xgb_regressor(objective: str) -> Any:
    return xgboost.XGBRegressor(objective=objective).fit(X, BINARY)


PIPELINE = make_pipeline(StandardScaler(), LogisticRegression())
ESTIMATORS: dict[str, tuple[str, Callable[[], Any], tuple[Any, ...]]] = {
    "LogisticRegression": ("binary", lambda: LogisticRegression().fit(X, BINARY), (0, 1)),
    "LogisticRegression, words": ("binary", lambda: LogisticRegression().fit(X, WORDS), ("early", "late")),
    "LogisticRegression, booleans": ("binary", lambda: LogisticRegression().fit(X, BINARY == 1), (False, True)),
    "pipeline, words": ("multiclass", lambda: PIPELINE.fit(X, COLOURS), ("blue", "green", "red")),
    "forest": ("multiclass", lambda: RandomForestClassifier(5, random_state=0).fit(X, MANY), (0, 1, 2)),
    "histograms": ("binary", lambda: HistGradientBoostingClassifier(max_iter=5).fit(X, BINARY), (0, 1)),
    "grid search": (
        "binary",
        lambda: GridSearchCV(LogisticRegression(), {"C": [1.0]}).fit(X, WORDS),
        ("early", "late"),
    ),
    "LGBMClassifier": ("binary", lambda: lgbm(WORDS), ("early", "late")),
    "LGBMClassifier, many": ("multiclass", lambda: lgbm(COLOURS), ("blue", "green", "red")),
    "XGBClassifier": ("binary", lambda: xgboost.XGBClassifier(n_estimators=5).fit(X, BINARY), (0, 1)),
    "XGBClassifier, many": ("multiclass", lambda: xgboost.XGBClassifier(n_estimators=5).fit(X, MANY), (0, 1, 2)),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_probabilities_of_an_estimator_that_was_logged_without_a_word_are_its_scores(
    name: str, tmp_path: Path
) -> None:
    problem, fitted, classes = ESTIMATORS[name]
    estimator = fitted()
    pyfunc = saved(tmp_path, estimator)
    scorer = scorer_of(pyfunc, problem)
    assert (scorer.method, scorer.classes, scorer.no_scores) == ("predict_proba", classes, None)
    found = scorer.read(scorer.predict(X), problem, rows=len(X))
    probabilities = np.asarray(estimator.predict_proba(X))
    assert found.scores is not None
    assert same(found.scores, probabilities if problem == "multiclass" else probabilities[:, 1])
    assert np.mean(found.labels == np.asarray(estimator.predict(X))) == 1.0
    assert scorer.complaint(found, ["roc_auc"]) is None
    assert np.array_equal(pyfunc.predict(X), estimator.predict(X)), "MLflow's own answer stays what it was"
    with pytest.raises(mlflow.MlflowException, match="schema"):
        scorer.predict(X[["a"]])


def test_a_method_that_was_named_stays_and_regressions_are_asked_as_logged(tmp_path: Path) -> None:
    pyfunc = saved(tmp_path, LogisticRegression().fit(X, BINARY), pyfunc_predict_fn="predict_proba")
    assert scorer_of(pyfunc, "binary").pyfunc is pyfunc and scorer_of(pyfunc, "binary").certain
    for problem in ("regression", None):
        assert scorer_of(pyfunc, problem) == Scorer(pyfunc, "predict_proba")


def test_logarithms_are_not_the_scores(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(X, BINARY)
    scorer = scorer_of(saved(tmp_path, estimator, pyfunc_predict_fn="predict_log_proba"), "binary")
    assert same(scorer.predict(X), estimator.predict_proba(X))


@pytest.mark.parametrize(
    ("problem", "fitted", "expected"),
    [
        ("binary", lambda: lgb_booster("binary", BINARY), lambda booster: booster.predict(X)),
        ("multiclass", lambda: lgb_booster("multiclass", MANY, num_class=3), lambda booster: booster.predict(X)),
        ("binary", lambda: xgb_booster("binary:logistic"), lambda booster: booster.predict(MATRIX[0])),
        ("multiclass", lambda: xgb_booster("multi:softprob", many=True), lambda booster: booster.predict(MATRIX[1])),
        (
            "binary",
            lambda: xgboost.XGBRegressor(objective="binary:logistic").fit(X, BINARY),
            lambda model: model.predict(X),
        ),
    ],
)
def test_what_a_booster_predicts_is_a_probability_already(
    problem: str, fitted: Callable[[], Any], expected: Any, tmp_path: Path
) -> None:
    booster = fitted()
    scorer = scorer_of(saved(tmp_path, booster), problem)
    found = scorer.read(scorer.predict(X), problem, rows=len(X))
    assert found.scores is not None and np.array_equal(found.scores, expected(booster))
    assert scorer.complaint(found, ["roc_auc"]) is None


@pytest.mark.parametrize(
    ("problem", "fitted", "advice"),
    [
        (
            "binary",
            lambda: LinearSVC().fit(X, BINARY),
            "LinearSVC has no predict_proba; log sklearn.calibration.",
        ),
        (
            "binary",
            lambda: SVC().fit(X, WORDS),
            "SVC has no predict_proba; log sklearn.calibration.CalibratedClassif",
        ),
        ("multiclass", lambda: RidgeClassifier().fit(X, COLOURS), "RidgeClassifier has no predict_proba"),
        (
            "binary",
            lambda: xgb_booster("binary:hinge"),
            "its objective binary:hinge gives labels; train it with binary:",
        ),
        (
            "multiclass",
            lambda: xgb_booster("multi:softmax", many=True),
            "multi:softmax gives labels; train it with multi:",
        ),
    ],
)
def test_an_estimator_without_probabilities_says_what_has_them(
    problem: str, fitted: Callable[[], Any], advice: str, tmp_path: Path
) -> None:
    scorer = scorer_of(saved(tmp_path, fitted()), problem)
    found = scorer.read(
        scorer.predict(X), problem, scorer.classes or (0, 1, 2)[: 2 + (problem != "binary")], rows=len(X)
    )
    assert found.scores is None, "not even where they are numbers of 0 and 1"
    complaint = scorer.complaint(found, ["log_loss", "roc_auc"])
    assert complaint is not None and advice in complaint
    assert "predict gives labels, such as " in complaint and "log_loss, roc_auc need scores: " in complaint
    assert scorer.complaint(found, []) is None, "labels are enough for other metrics"


def test_margins_are_refused_with_the_objective_that_gives_probabilities(tmp_path: Path) -> None:
    scorer = scorer_of(saved(tmp_path, xgb_booster("binary:logitraw")), "binary")
    assert scorer.no_scores == "its objective binary:logitraw gives margins; train it with binary:logistic"
    with pytest.raises(ValueError, match="none of the classes"):
        scorer.read(scorer.predict(X), "binary", rows=len(X))


@pytest.mark.parametrize(
    ("answer", "has_scores", "complains", "complains_of_five_rows"),
    [
        (lambda frame: (frame["a"] > 0).astype(int).to_numpy(), False, True, True),
        (lambda frame: frame["a"].to_numpy() > 0, False, True, True),
        (lambda frame: ["1" if a > 0 else "0" for a in frame["a"]], False, True, True),
        (lambda frame: (frame["a"] > 0).astype(float).to_numpy(), True, True, False),
        (lambda frame: np.zeros(len(frame)), True, True, False),
        (lambda frame: 1 / (1 + np.exp(-frame["a"].to_numpy())), True, False, False),
        (lambda frame: np.column_stack([frame["a"] <= 0, frame["a"] > 0]).astype(float), True, True, False),
    ],
)
def test_a_models_own_code_is_taken_by_what_it_returns(
    answer: Any, has_scores: bool, complains: bool, complains_of_five_rows: bool, tmp_path: Path
) -> None:
    scorer = scorer_of(own_code(tmp_path, answer), "binary")
    found = scorer.read(scorer.predict(X), "binary", rows=len(X))
    assert (found.scores is not None) is has_scores
    complaint = scorer.complaint(found, ["roc_auc"])
    assert (complaint is not None) is complains
    assert (scorer.complaint(found, ["roc_auc"], enough_rows=False) is not None) is complains_of_five_rows
    if complaint:
        assert complaint.startswith("predict gives labels, such as ") and "roc_auc needs scores: " in complaint
        assert 'pyfunc_predict_fn="predict_proba"' in complaint and "metric: accuracy" in complaint


def test_a_regressor_of_zero_and_one_is_taken_by_what_it_returns(tmp_path: Path) -> None:
    scorer = scorer_of(saved(tmp_path, LinearRegression().fit(X, BINARY)), "binary")
    assert scorer.no_scores is None and scorer.classes is None
    with pytest.raises(ValueError, match="not a probability"):
        scorer.read(scorer.predict(X), "binary", rows=len(X))


@pytest.mark.parametrize("kind", ["words", "many", "base class", "base class, many"])
def test_catboost(kind: str, tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    options = {"iterations": 5, "verbose": 0, "allow_writing_files": False}
    y = {"words": WORDS, "many": MANY, "base class": BINARY, "base class, many": MANY}[kind]
    problem = "multiclass" if "many" in kind else "binary"
    if kind.startswith("base"):
        loss = "MultiClass" if problem == "multiclass" else "Logloss"
        model = catboost.CatBoost({**options, "loss_function": loss}).fit(X, y)
        probabilities = model.predict(X, prediction_type="Probability")
    else:
        model = catboost.CatBoostClassifier(**options).fit(X, y)
        probabilities = model.predict_proba(X)
    scorer = scorer_of(saved(tmp_path, model), problem)
    found = scorer.read(scorer.predict(X), problem, rows=len(X))
    assert scorer.classes == {"words": ("early", "late"), "base class": (0, 1)}.get(kind, (0, 1, 2))
    assert found.scores is not None
    assert same(found.scores, probabilities if problem == "multiclass" else probabilities[:, 1])
