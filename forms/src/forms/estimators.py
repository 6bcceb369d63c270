"""The last step of a model, the estimator: maps the matrix to predictions, without scikit-learn's per-call checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from forms.form import Unsupported
from forms.transformers import without_names
from forms.trees import exponential, softmax

Answer = Callable[[np.ndarray], np.ndarray]

REGRESSIONS = (LinearRegression, Ridge, RidgeCV, Lasso, LassoCV, ElasticNet, ElasticNetCV, SGDRegressor, LinearSVR)
LOGARITHMIC = (PoissonRegressor, GammaRegressor)
"""They predict the exponential of the sum."""
CLASSIFIERS = (LogisticRegression, LogisticRegressionCV, SGDClassifier, RidgeClassifier, LinearSVC)


def linear(model: Any, method: str) -> Answer:
    """Compile a linear model. Raises Unsupported for other models, or other kinds of probabilities."""
    if not callable(getattr(model, method, None)) or method not in ("predict", "predict_proba"):
        raise Unsupported(f"{type(model).__name__} has no {method}")
    if isinstance(model, LOGARITHMIC):
        logarithms = np.asarray(model.coef_, dtype=np.float64)
        return lambda matrix: exponential(matrix @ logarithms + model.intercept_)
    if isinstance(model, REGRESSIONS):
        coefficients, intercept = np.asarray(model.coef_, dtype=np.float64).T, model.intercept_
        flat = coefficients.ndim == 2 and coefficients.shape[1] == 1 and np.ndim(model.coef_) == 1
        return lambda matrix: _sums(matrix, coefficients, intercept, flat=flat)
    if not isinstance(model, CLASSIFIERS) or np.asarray(model.classes_).ndim != 1:
        raise Unsupported(f"{type(model).__name__} is not a supported linear model")
    coefficients, intercept = np.asarray(model.coef_, dtype=np.float64).T, model.intercept_
    is_binary = coefficients.shape[1] == 1

    def scores(matrix: np.ndarray) -> np.ndarray:
        return _sums(matrix, coefficients, intercept, flat=is_binary)

    if method == "predict":
        if is_binary:
            return lambda matrix: model.classes_[(scores(matrix) > 0).astype(np.intp)]
        return lambda matrix: model.classes_[scores(matrix).argmax(axis=1)]
    if isinstance(model, LogisticRegression | LogisticRegressionCV):
        if is_binary:
            return lambda matrix: both(expit(scores(matrix)))
        return lambda matrix: softmax(scores(matrix))
    if isinstance(model, SGDClassifier) and model.loss == "log_loss" and is_binary:
        return lambda matrix: both(expit(scores(matrix)))
    raise Unsupported(f"the probabilities of {type(model).__name__}")


def native(model: Any, method: str) -> Answer:
    """Return the estimator's own method, called with a matrix instead of a frame."""
    if not callable(getattr(model, method, None)):
        raise Unsupported(f"{type(model).__name__} has no {method}")
    answer: Answer = getattr(without_names(model), method)
    if _was_fitted_on_objects(model):
        return lambda matrix: answer(matrix.astype(object))
    return answer


def _was_fitted_on_objects(model: Any) -> bool:
    """Whether the model needs object arrays: histogram boosting compares categories in the type it was fitted on."""
    encoder = getattr(getattr(model, "_preprocessor", None), "named_transformers_", {}).get("encoder")
    return encoder is not None and any(values.dtype == object for values in encoder.categories_)


def both(positive: np.ndarray) -> np.ndarray:
    """Return the probabilities of two classes (n, 2), given that of the second (n,)."""
    found = np.empty((len(positive), 2), dtype=positive.dtype)
    found[:, 1] = positive
    found[:, 0] = 1 - positive
    return found


def labels(classes: Any, probabilities: Answer) -> Answer:
    """Predict the class of the largest probability; of equal ones the first."""
    known = np.asarray(classes)
    return lambda matrix: known[probabilities(matrix).argmax(axis=1)]


def only_finite(answer: Answer) -> Answer:
    """Raise ValueError for NaN and infinity, as scikit-learn does."""

    def checked(matrix: np.ndarray) -> np.ndarray:
        if not np.isfinite(matrix).all():
            raise ValueError("input contains NaN or infinity, which the model refuses")
        return answer(matrix)

    return checked


def not_infinite(answer: Answer) -> Answer:
    """Raise ValueError for infinity, as scikit-learn does where it allows NaN."""

    def checked(matrix: np.ndarray) -> np.ndarray:
        if np.isinf(matrix).any():
            raise ValueError("input contains infinity, or a number too large, which the model refuses")
        return answer(matrix)

    return checked


def single(answer: Answer) -> Answer:
    """Round values to single precision, as trees of scikit-learn and XGBoost do in training and prediction."""

    def rounded(matrix: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return answer(matrix.astype(np.float32))

    return rounded


def _sums(matrix: np.ndarray, coefficients: np.ndarray, intercept: Any, *, flat: bool) -> np.ndarray:
    sums: np.ndarray = matrix @ coefficients + intercept
    return sums[:, 0] if flat and sums.ndim == 2 else sums
