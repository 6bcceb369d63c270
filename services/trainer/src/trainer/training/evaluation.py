"""Metrics of a fitted estimator on its golden rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from chassis.errors import Permanent
from contracts.forecasts import MEDIAN, pinball, smape
from contracts.metrics import Problem


def evaluate(estimator: Any, features: pd.DataFrame, labels: pd.Series, problem: Problem) -> dict[str, float]:
    """Return every metric of `problem` that these rows define; those that are not finite are left out.

    Metrics of a series, which need the order of the rows, are the gate's.

    Raises Permanent when the estimator's predictions cannot be evaluated.
    """
    if problem == "regression":
        answers = np.asarray(estimator.predict(features), dtype="float64").reshape(-1)
        _check(answers, len(features))
        errors = {"mae": metrics.mean_absolute_error(labels, answers), "rmse": _rmse(labels, answers)}
        truth = np.asarray(labels, dtype="float64")
        errors["smape"] = smape(truth, answers).mean()
        errors["pinball"] = pinball(truth, answers, MEDIAN).mean()
        if (labels != 0).all():
            errors["mape"] = metrics.mean_absolute_percentage_error(labels, answers)
        return _finite(errors)
    scores = np.asarray(estimator.predict_proba(features), dtype="float64")
    classes = list(estimator.classes_)
    _check(scores, len(features), width=len(classes))
    predicted = np.asarray(classes)[scores.argmax(axis=1)]
    found = {"accuracy": float(metrics.accuracy_score(labels, predicted))}
    average = "binary" if problem == "binary" else "macro"
    found["f1"] = float(metrics.f1_score(labels, predicted, average=average, zero_division=0))
    if set(labels.unique()) <= set(classes):
        found["log_loss"] = float(metrics.log_loss(labels, scores, labels=classes))
    if problem == "multiclass" and set(labels.unique()) == set(classes) and len(classes) > 1:
        each = [metrics.roc_auc_score(labels == name, scores[:, at]) for at, name in enumerate(classes)]
        found["roc_auc_ovr"] = float(np.mean(each))  # scikit-learn's own ovr, macro, does not accept two classes
    if problem == "binary":
        positive = scores[:, classes.index(1)]
        found["brier"] = float(metrics.brier_score_loss(labels, positive, pos_label=1))
        if labels.nunique() == 2:
            found["roc_auc"] = float(metrics.roc_auc_score(labels, positive))
            found["pr_auc"] = float(metrics.average_precision_score(labels, positive))
    return _finite(found)


def classes_of(estimator: Any, problem: Problem) -> list[Any]:
    """Return the classes in the order of the probability columns; none for a regression.

    Raises Permanent for an estimator that the problem cannot use.
    """
    if problem == "regression":
        return []
    if not hasattr(estimator, "predict_proba"):
        raise Permanent(f"{type(estimator).__name__} has no predict_proba, which a {problem} model needs")
    classes = [value.item() if isinstance(value, np.generic) else value for value in estimator.classes_]
    if problem == "binary" and classes != [0, 1]:
        raise Permanent(f"the model has the classes {classes}; a binary one must have seen 0 and 1 in training")
    return classes


def _check(answers: np.ndarray, rows: int, width: int | None = None) -> None:
    expected = (rows,) if width is None else (rows, width)
    if answers.shape != expected:
        raise Permanent(f"the model answered with shape {answers.shape} to {rows} rows; expected {expected}")
    if bad := int(np.count_nonzero(~np.isfinite(answers))):
        raise Permanent(f"the model answered with {bad} values that are NaN or infinite")


def _rmse(labels: pd.Series, answers: np.ndarray) -> float:
    return math.sqrt(metrics.mean_squared_error(labels, answers))


def _finite(found: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}
