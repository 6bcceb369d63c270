"""How a loaded model is asked for its scores: found once, alike where it is judged and where it is served.

A classifier that was logged without `pyfunc_predict_fn` predicts labels, while its estimator has probabilities: those
are used. What predicts labels only says so, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mlflow.pyfunc import PyFuncModel

from chassis import predictions
from chassis.predictions import ModelOutput

SCORES = "predict_proba"
NATIVE = ("mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost", "mlflow.catboost")
"""Flavours whose models are estimators: `predict_proba`, where there is one, takes what `predict` takes."""
OBJECTIVES = {
    "binary:hinge": ("labels", "binary:logistic"),
    "binary:logitraw": ("margins", "binary:logistic"),
    "multi:softmax": ("labels", "multi:softprob"),
}
"""Of XGBoost boosters without probabilities: what they predict, and the objective that predicts them."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """How one model is asked. `method`: of its estimator, which a compiled model has to reproduce.

    `classes`: the estimator's, in the order of its scores. `no_scores`: why it predicts labels, and what would predict
    scores. `certain`: what it predicts are scores, whatever they look like.
    """

    pyfunc: PyFuncModel
    method: str = "predict"
    classes: tuple[Any, ...] | None = None
    no_scores: str | None = None
    certain: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Columns that the signature names by integers, as of a frame without names, by their text."""

    def predict(self, features: Any) -> Any:
        """Predict, with MLflow's checks of the signature. Raises whatever the model raises."""
        return self.pyfunc.predict(self.as_logged(features))

    def as_logged(self, features: Any) -> Any:
        """Return a frame with the names of its columns as the signature has them."""
        return features.rename(columns=self.numbers) if self.numbers else features

    def read(
        self, raw: Any, problem: str, classes: Sequence[Any] | None = None, rows: int | None = None
    ) -> ModelOutput:
        """Interpret what `predict` returned; `classes`, if they are declared. Raises ValueError as predictions.read."""
        return predictions.read(raw, problem, classes or self.classes, rows, are_labels=self.no_scores is not None)

    def complaint(self, found: ModelOutput, metrics: Sequence[str], *, enough_rows: bool = True) -> str | None:
        """Return why `metrics`, which need scores, cannot be computed, and what to do; None if they can.

        Numbers of a model's own code that all are exactly 0 or 1, on enough rows, are labels too: they rank nothing.
        """
        if not metrics or self.certain:
            return None
        if found.scores is not None and not (enough_rows and _are_labels(found.scores)):
            return None
        given = found.labels[:1].tolist() if found.scores is None else found.scores[:1].tolist()
        shown = f", such as {given[0]!r:.80}" if given else ""
        advice = self.no_scores or (
            "return model.predict_proba(model_input) from its predict, or log the estimator with its own flavour,"
            ' as mlflow.sklearn.log_model(model, name="model", pyfunc_predict_fn="predict_proba")'
        )
        names, verb = ", ".join(metrics), "need" if len(metrics) > 1 else "needs"
        needed = f"{names} {verb} scores"
        return f"predict gives labels{shown}; {needed}: {advice}; or judge it by labels (metric: accuracy)"


def scorer_of(pyfunc: PyFuncModel, problem: str | None) -> Scorer:
    """Find how to ask a loaded model. Without a `problem`, or for a regression, by its own `predict`."""
    function = pyfunc.metadata.flavors.get("python_function") or {}
    method = function.get("predict_fn") or "predict"
    estimator, numbers = _estimator(pyfunc, function), numbers_of(pyfunc.metadata)
    if problem not in ("binary", "multiclass") or estimator is None:
        return Scorer(pyfunc, method, numbers=numbers)
    classes = _classes(estimator)
    if method == SCORES:
        return Scorer(pyfunc, method, classes, certain=True, numbers=numbers)
    if scores := _probabilities(estimator):
        return Scorer(_asked(pyfunc, estimator, scores), SCORES, classes, certain=True, numbers=numbers)
    return Scorer(pyfunc, method, classes, _no_scores(estimator, classes), numbers=numbers)


def numbers_of(metadata: Any) -> Mapping[str, int]:
    """Return the columns that a signature names by integers, by their text."""
    schema = metadata.get_input_schema()
    names = [] if schema is None or schema.is_tensor_spec() else [spec.name for spec in schema.inputs]
    return {str(name): name for name in names if type(name) is int}


def _are_labels(scores: np.ndarray[Any, Any]) -> bool:
    return scores.ndim == 1 and bool(np.isin(scores, (0.0, 1.0)).all())


def _estimator(pyfunc: PyFuncModel, function: dict[str, Any]) -> Any:
    """Return the estimator that a model wraps; None for a model of its own code, whose methods may be anything."""
    if function.get("loader_module") not in NATIVE:
        return None
    try:
        return pyfunc.get_raw_model()  # type: ignore[no-untyped-call]
    except NotImplementedError:
        return None


def _classes(estimator: Any) -> tuple[Any, ...] | None:
    """Return `classes_` as Python values; None for none, or for those of several outputs."""
    try:
        values = np.asarray(estimator.classes_)
    except Exception:  # a pipeline raises AttributeError, others as they like
        return None
    return tuple(values.tolist()) if values.ndim == 1 and len(values) > 1 else None


def _probabilities(estimator: Any) -> Callable[[Any], Any] | None:
    with suppress(Exception):  # scikit-learn's conditional methods may raise any
        if callable(found := getattr(estimator, SCORES, None)):
            return found  # type: ignore[no-any-return]
    if _library(estimator) == "catboost" and _classes(estimator) is not None:  # its base class predicts margins
        return lambda features: estimator.predict(features, prediction_type="Probability")
    return None


def _no_scores(estimator: Any, classes: tuple[Any, ...] | None) -> str | None:
    """Return why an estimator's `predict` gives no scores, and what would; None where it may well give them."""
    name = type(estimator).__name__
    if _library(estimator) == "xgboost" and hasattr(estimator, "save_config"):
        objective = json.loads(estimator.save_config())["learner"]["objective"]["name"]
        if objective not in OBJECTIVES:
            return None
        what, better = OBJECTIVES[objective]
        return f"its objective {objective} gives {what}; train it with {better}"
    if classes is None:  # a booster predicts probabilities, and a regressor numbers
        return None
    return f"{name} has no predict_proba; log sklearn.calibration.CalibratedClassifierCV({name}(…)) in its place"


def _library(estimator: Any) -> str:
    return type(estimator).__module__.partition(".")[0]


class _Asked:
    """What MLflow calls instead of the flavour's own wrapper of the estimator."""

    def __init__(self, estimator: Any, scores: Callable[[Any], Any]) -> None:
        self._estimator, self._scores = estimator, scores

    def predict(self, features: Any) -> Any:
        return self._scores(features)

    def get_raw_model(self) -> Any:
        return self._estimator


def _asked(pyfunc: PyFuncModel, estimator: Any, scores: Callable[[Any], Any]) -> PyFuncModel:
    """Return a model with the same signature, and so the same checks of its input, that predicts `scores`."""
    return PyFuncModel(model_meta=pyfunc.metadata, model_impl=_Asked(estimator, scores))
