"""The libraries' tree ensembles: how each transforms its input before the trees, and the sum after them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import treelite
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

from forms.encoder import Table
from forms.estimators import Answer, both, labels, not_infinite, only_finite, single
from forms.form import Unsupported
from forms.transformers import Coded, Part, Raw
from forms.trees import Ensemble, imported, read

HISTOGRAMS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
FORESTS = (
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    DecisionTreeClassifier,
    DecisionTreeRegressor,
)
SMALLEST = float(np.float32(1e-35))
BOOSTINGS = (GradientBoostingClassifier, GradientBoostingRegressor)


@dataclass(frozen=True, slots=True)
class TreeModel:
    """`guard` wraps the whole prediction: it rejects invalid input and rounds values."""

    parts: list[Part]
    """The columns that the splits use."""
    source: treelite.Model
    ensemble: Ensemble
    classes: Any
    guard: Callable[[Answer], Answer]

    def answer(self, sums: Answer, method: str) -> Answer:
        """Return the prediction function; `sums` is an engine that maps the matrix to sums before the link."""
        link = self.ensemble.link
        if self.classes is None:
            return self.guard(lambda matrix: link(sums(matrix)))

        def probabilities(matrix: np.ndarray) -> np.ndarray:
            found = link(sums(matrix))
            return both(found) if found.ndim == 1 else found

        return self.guard(labels(self.classes, probabilities) if method == "predict" else probabilities)


def tree_model(model: Any, parts: Sequence[Part], method: str) -> TreeModel:
    """Read a fitted tree ensemble of any supported library. Raises Unsupported."""
    library = type(model).__module__.split(".")[0]
    classes = getattr(model, "classes_", None)
    if method not in ("predict", "predict_proba") or (method == "predict_proba" and classes is None):
        raise Unsupported(f"{type(model).__name__} has no {method}")
    guard: Callable[[Answer], Answer]
    if isinstance(model, HISTOGRAMS):
        found, source = _histograms(model, list(parts))
        guard = _as_it_comes
    elif isinstance(model, FORESTS):
        tolerant = get_tags(model).input_tags.allow_nan
        found, source = list(parts), imported(treelite.sklearn.import_model, _forest(model))

        def guard(answer: Answer) -> Answer:
            return single((not_infinite if tolerant else only_finite)(answer))

    elif isinstance(model, BOOSTINGS):
        if getattr(model, "loss", None) == "exponential":
            raise Unsupported("gradient boosting with exponential loss, which treelite takes for log loss")
        found, source = list(parts), imported(treelite.sklearn.import_model, model)

        def guard(answer: Answer) -> Answer:
            return single(only_finite(answer))

    elif library == "lightgbm":
        found, source = list(parts), _lightgbm(model)
        guard = _as_it_comes
    elif library == "xgboost":
        found, source = list(parts), _xgboost(model)

        def guard(answer: Answer) -> Answer:
            return single(not_infinite(answer))

    else:
        raise Unsupported(f"{type(model).__name__} is not a supported tree ensemble")
    ensemble = read(source)
    return TreeModel(found, source, _zeros_right(ensemble) if library == "lightgbm" else ensemble, classes, guard)


def recode(parts: list[Part], feature: int, code: Callable[[Any], float], known: Sequence[Any]) -> None:
    """Map the categorical column of the trees' `feature` through `code`; `known` are its usual values.

    Raises Unsupported.
    """
    starts = np.cumsum([0, *(part.width for part in parts)]).tolist()
    place = starts.index(feature) if feature in starts else -1
    part = parts[place] if place >= 0 else None
    if isinstance(part, Raw):
        parts[place] = Coded(part.index, Table({value: code(value) for value in known}, code))
    elif isinstance(part, Coded):
        parts[place] = Coded(part.index, part.table.then(code))
    else:
        raise Unsupported("a feature that trees split by category is computed from others")


def _as_it_comes(answer: Answer) -> Answer:
    return answer


def _forest(model: Any) -> Any:
    """Wrap a single tree in a forest of one, which treelite accepts."""
    if isinstance(model, DecisionTreeClassifier | DecisionTreeRegressor):
        kind = RandomForestClassifier if isinstance(model, DecisionTreeClassifier) else RandomForestRegressor
        forest = kind(n_estimators=1)
        fitted = {name: value for name, value in vars(model).items() if name.endswith("_") and name != "tree_"}
        vars(forest).update(fitted)
        forest.estimators_ = [model]
        return forest
    return model


def _histograms(model: Any, parts: list[Part]) -> tuple[list[Part], treelite.Model]:
    """Move the model's categorical encoder into ours; treelite then gets a model of its codes."""
    if model._preprocessor is None:
        return parts, imported(treelite.sklearn.import_model, model)
    encoder = model._preprocessor.transformers_[0][1]
    places = np.flatnonzero(model.is_categorical_)
    for place, categories in zip(places.tolist(), encoder.categories_, strict=True):
        known = [value for value in categories.tolist() if value == value]  # None is an ordinary category, NaN is not
        codes = {value: float(number) for number, value in enumerate(known)}
        recode(parts, place, _code_or_nan(codes), known)
    coded = copy.copy(model)
    coded._preprocessor = copy.copy(model._preprocessor)
    numbers = copy.copy(encoder)
    numbers.categories_ = [
        np.arange(sum(value == value for value in categories.tolist()), dtype=np.float64)
        for categories in encoder.categories_
    ]
    (name, _, columns), *others = model._preprocessor.transformers_
    coded._preprocessor.transformers_ = [(name, numbers, columns), *others]
    return parts, imported(treelite.sklearn.import_model, coded)


def _code_or_nan(codes: dict[Any, float]) -> Callable[[Any], float]:
    return lambda value: codes.get(value, math.nan)


def _lightgbm(model: Any) -> treelite.Model:
    booster = getattr(model, "booster_", model)
    if getattr(booster, "pandas_categorical", None):
        raise Unsupported("LightGBM fitted on a frame's category columns, which JSON cannot represent")
    if booster.params.get("zero_as_missing"):
        raise Unsupported("LightGBM with zero_as_missing")
    return imported(treelite.frontend.from_lightgbm, booster)


def _zeros_right(ensemble: Ensemble) -> Ensemble:
    """Adjust thresholds: LightGBM reads values within ±1e-35f as 0, so the value −1e-35f goes right there."""
    below = np.nextafter(-SMALLEST, -np.inf)
    trees = [
        replace(tree, threshold=np.where(tree.threshold == -SMALLEST, below, tree.threshold)) for tree in ensemble.trees
    ]
    return replace(ensemble, trees=tuple(trees))


def _xgboost(model: Any) -> treelite.Model:
    booster = model
    if hasattr(model, "get_booster"):
        if model.missing is None or not np.isnan(model.missing):
            raise Unsupported(f"XGBoost with {model.missing!r} for missing values")
        booster = model.get_booster()
        best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
        if best is not None:
            booster = booster[: best + 1]
    if any(kind == "c" for kind in booster.feature_types or ()):
        raise Unsupported("XGBoost with categories")
    if json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] != "gbtree":
        raise Unsupported("XGBoost with another booster than gbtree")
    return imported(treelite.frontend.from_xgboost, booster)
