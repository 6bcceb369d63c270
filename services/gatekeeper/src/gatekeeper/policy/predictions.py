"""Convert arrays of a model's predictions to class numbers in the order of the golden rows' classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.labels import BINARY, ClassLabels, canonical
from contracts.metrics import Problem
from gatekeeper.policy.statistics.metrics import Predictions

Classes = tuple[Any, ...] | None


def as_answers(values: NDArray[Any], problem: Problem, classes: Classes) -> Predictions:
    """Convert `values`: regression: numbers; binary: scores of class 1; multiclass: scores (n, k), or labels (n,).

    Text is the labels of a binary model that has no scores.
    """
    if problem == "regression":
        return Predictions(labels=values)
    if problem == "binary" and values.dtype.kind == "U":
        return Predictions(labels=number_of(values, classes or BINARY))
    if problem == "binary":
        return Predictions(labels=(values >= 0.5).astype(np.int64), scores=values)
    if values.ndim == 2:
        return Predictions(labels=values.argmax(axis=1), scores=values)
    return Predictions(labels=number_of(values, classes or ()))


def aligned(values: NDArray[Any], problem: Problem, own: Classes, wanted: Classes) -> NDArray[Any]:
    """Reorder scores from the classes `own` to the classes `wanted`; a class that the model lacks has score 0.

    Raises ValueError for a binary model with other classes.
    """
    names, asked = [canonical(name) for name in own or ()], [canonical(name) for name in wanted or ()]
    labels = values.dtype.kind == "U" or (problem == "multiclass" and values.ndim == 1)
    if names == asked or problem == "regression" or labels:
        return values
    if problem == "binary":
        if names != asked[::-1]:
            raise ValueError(f"its classes are {list(own or ())}, those of the golden rows {list(wanted or ())}")
        return 1.0 - values
    columns = {name: values[:, number] for number, name in enumerate(names)}
    nothing = np.zeros(len(values))
    return np.column_stack([columns.get(name, nothing) for name in asked])


def number_of(values: NDArray[Any], classes: tuple[Any, ...]) -> NDArray[np.int64]:
    """Return the class number of each value; -1 for none."""
    return np.array(ClassLabels(classes).numbers(values.tolist()), dtype=np.int64)
