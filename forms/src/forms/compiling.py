"""Compiles a fitted model into the forms that it can be served in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import treelite
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from forms import onnx_trees
from forms.categorical_splits import sides
from forms.estimators import linear, native, only_finite
from forms.form import Column, CompiledModel, MatrixModel, Rejection, Unsupported
from forms.transformers import Part, Raw, encoder, transformed
from forms.tree_models import TreeModel, recode, tree_model


def candidates(model: Any, columns: Sequence[Column], method: str) -> tuple[list[CompiledModel], list[Rejection]]:
    """Return every compiled form of `model`, fastest first, and the rejected forms with reasons. Never raises.

    `model`: a scikit-learn pipeline or estimator; a LightGBM or XGBoost estimator or booster.
    `method`: "predict" or "predict_proba". None of the forms is verified yet.
    """
    steps, estimator = (model.steps[:-1], model.steps[-1][1]) if isinstance(model, Pipeline) else ([], model)
    try:
        parts = _roots(model, columns)
        for _, step in steps:
            parts = transformed(step, parts)
    except Exception as error:
        return [], [Rejection("any", _reason(error))]
    trees = cache(lambda: tree_model(estimator, parts, method))
    compilers: list[tuple[str, Callable[[], CompiledModel]]] = [
        ("linear", lambda: _linear(estimator, parts, method)),
        ("onnxruntime", lambda: _onnx(trees(), method)),
        ("treelite", lambda: _treelite(trees(), method)),
        (_native_name(estimator), lambda: _native(estimator, parts, method)),
    ]
    forms: list[CompiledModel] = []
    refused: list[Rejection] = []
    for name, compiler in compilers:
        try:
            forms.append(compiler())
        except Exception as error:  # one library's error must not prevent the other forms
            refused.append(Rejection(name, _reason(error)))
    return forms, refused


def _roots(model: Any, columns: Sequence[Column]) -> list[Part]:
    """Return the columns in the order in which the model was fitted."""
    places = {column.name: place for place, column in enumerate(columns)}
    names = getattr(model, "feature_names_in_", None)
    order = range(len(columns)) if names is None else [places[name] for name in names if name in places]
    if names is not None and len(order) != len(names):
        missing = next(name for name in names if name not in places)
        raise Unsupported(f"the model was fitted on a column {missing!r} that its signature does not have")
    return [Raw(place, columns[place]) for place in order]


def _linear(estimator: Any, parts: list[Part], method: str) -> CompiledModel:
    return MatrixModel("linear", encoder(parts), only_finite(linear(estimator, method)))


def _onnx(found: TreeModel, method: str) -> CompiledModel:
    if not found.ensemble.categorical:
        return MatrixModel("onnxruntime", encoder(found.parts), found.answer(onnx_trees.runner(found.ensemble), method))
    numeric, extended, codes = sides(found.ensemble)
    run, parts = onnx_trees.runner(numeric), list(found.parts)
    for feature, known in codes.items():
        usual = [category for category in known if category >= 0]
        recode(parts, feature, partial(_code, known), usual)
    return MatrixModel("onnxruntime", encoder(parts), found.answer(lambda matrix: run(extended(matrix)), method))


def _code(codes: dict[int, int], value: Any) -> float:
    if value is None or value != value:
        return codes[-1]
    return codes.get(math.trunc(value), codes[-2]) if value >= 0 else codes[-2]


def _treelite(found: TreeModel, method: str) -> CompiledModel:
    sums = Gtil(found.source, found.ensemble.dtype, found.ensemble.outputs)
    return MatrixModel("treelite", encoder(found.parts), found.answer(sums, method))


class Gtil:
    """treelite's own engine: computes the sums before the link. Pickled in treelite's model format."""

    def __init__(self, model: treelite.Model, dtype: Any, outputs: int) -> None:
        self._model, self._dtype, self._outputs = model, dtype, outputs

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        given = matrix.astype(self._dtype, copy=False)
        raw = treelite.gtil.predict(self._model, given, nthread=1, pred_margin=True)
        return np.asarray(raw).reshape(len(matrix), -1)[:, -self._outputs :]

    def __reduce__(self) -> Any:
        return _opened, (self._model.serialize_bytes(), self._dtype, self._outputs)


def _opened(model: bytes, dtype: Any, outputs: int) -> Gtil:
    return Gtil(treelite.Model.deserialize_bytes(model), dtype, outputs)


def _native(estimator: Any, parts: list[Part], method: str) -> CompiledModel:
    if not isinstance(estimator, BaseEstimator):
        raise Unsupported(f"{type(estimator).__name__} is not a scikit-learn estimator")
    return MatrixModel(_native_name(estimator), encoder(parts), native(estimator, method))


def _native_name(estimator: Any) -> str:
    library = type(estimator).__module__.split(".")[0]
    return f"numpy+{library}"


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return text if isinstance(error, Unsupported) else f"{type(error).__name__}: {text}"
