"""Interprets the output of a pyfunc as labels and scores; the only module that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chassis.named_outputs import one_output, own_classes
from contracts.labels import BINARY, UNKNOWN, ClassLabels

THRESHOLD = 0.5


@dataclass(frozen=True)
class ModelOutput:
    """`labels`: (n,) of any type. `scores`: binary (n,) of the positive class; multiclass (n, k); else None."""

    labels: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any] | None


def read(
    raw: Any,
    problem: str,
    classes: Sequence[Any] | None = None,
    rows: int | None = None,
    *,
    are_labels: bool = False,
) -> ModelOutput:
    """Interpret a model output of shape (n,), (n, 1), (n, 2) or (n, k), or the one of several that is judged.

    `classes` names the columns of probabilities, in order; by default those that the output itself names. `are_labels`:
    numbers of a binary model are no scores, as words, integers and booleans never are. Raises ValueError, with the
    offending output, for any other shape, a wrong number of rows, non-numeric values, NaN, a probability outside
    [0, 1], or a label that is no class of a binary model.
    """
    classes = classes or own_classes(raw)
    values = as_array(one_output(raw, problem, classes))
    if values.ndim == 0:
        raise ValueError(f"prediction is of type {type(raw).__name__}; expected an array of one item a row")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise ValueError(f"prediction has shape {values.shape}; expected (rows,) or (rows, classes)")
    if rows is not None and len(values) != rows:
        raise ValueError(f"{len(values)} answers for {rows} rows")
    if problem == "multiclass" and values.ndim == 1:
        return ModelOutput(_as_classes(values, classes) if classes else values, None)
    if problem == "binary" and values.ndim == 1 and (are_labels or _are_classes(values)):
        return ModelOutput(_as_classes(values, classes or BINARY, strict=True), None)
    numbers = _numbers(values)
    if problem == "regression":
        if numbers.ndim != 1:
            raise ValueError(f"prediction has shape {numbers.shape}; a regression predicts one number a row")
        return ModelOutput(numbers, None)
    if np.any((numbers < 0) | (numbers > 1)):
        bad = numbers[(numbers < 0) | (numbers > 1)].flat[0]
        raise ValueError(f"prediction {bad!r} is not a probability: it is outside [0, 1]")
    if problem == "binary":
        return _binary(numbers, classes)
    names = np.asarray(classes if classes is not None else np.arange(numbers.shape[1]))
    if len(names) != numbers.shape[1]:
        raise ValueError(f"{numbers.shape[1]} columns of probabilities for {len(names)} classes")
    return ModelOutput(names[numbers.argmax(axis=1)], numbers)


def as_array(raw: Any) -> np.ndarray[Any, Any]:
    """Return a model output as an array; numbers that came as objects (nullable columns, arrays of one) as numbers.

    A mapping with one entry is that entry: MLflow's ONNX flavour returns its only output by name. Raises ValueError for
    rows of different lengths.
    """
    if isinstance(raw, Mapping) and len(raw) == 1:
        raw = next(iter(raw.values()))
    values = np.asarray(raw)
    if values.dtype != object or values.ndim == 0:
        return values
    plain = [item.item() if _is_scalar(item) else item for item in values.ravel().tolist()]
    if plain and all(isinstance(item, bool | int | float) for item in plain):
        return np.array(plain).reshape(values.shape)
    found = np.empty(values.size, dtype=object)
    found[:] = plain
    return found.reshape(values.shape)


def _is_scalar(item: Any) -> bool:
    return isinstance(item, np.generic | np.ndarray) and item.ndim == 0


def _are_classes(values: np.ndarray[Any, Any]) -> bool:
    """Return whether values can only be labels: words, integers or booleans."""
    if values.dtype == object:
        return len(values) > 0 and all(isinstance(value, str | int) for value in values.tolist())
    return values.dtype.kind in "biuUS"


def _as_classes(values: np.ndarray[Any, Any], classes: Sequence[Any], *, strict: bool = False) -> np.ndarray[Any, Any]:
    """Return the class that each label names: 1.0 and "1" are the class 1. Others stay; `strict`: raise ValueError."""
    known, given = ClassLabels(classes), values.tolist()
    numbers = known.numbers(given)
    if strict and UNKNOWN in numbers:
        raise ValueError(f"prediction {given[numbers.index(UNKNOWN)]!r:.80} is none of the classes {list(known.names)}")
    found = np.empty(len(given), dtype=object)
    found[:] = [
        value if number == UNKNOWN else known.names[number] for value, number in zip(given, numbers, strict=True)
    ]
    return found


def _binary(numbers: np.ndarray[Any, Any], classes: Sequence[Any] | None) -> ModelOutput:
    if numbers.ndim == 2:
        if numbers.shape[1] != 2:
            raise ValueError(f"prediction has shape {numbers.shape}; a binary model predicts (rows,) or (rows, 2)")
        numbers = numbers[:, 1]
    names = np.asarray(classes) if classes is not None and len(classes) == 2 else np.array([0, 1])
    return ModelOutput(names[(numbers >= THRESHOLD).astype(int)], numbers)


def _numbers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype == bool:
        values = values.astype(float)
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        first = values.flat[0] if values.size else None
        raise ValueError(f"predictions of type {type(first).__name__} ({first!r}); expected numbers")
    numbers = values.astype(float)
    if not np.all(np.isfinite(numbers)):
        count = int(np.sum(~np.isfinite(numbers)))
        raise ValueError(f"{count} of {numbers.size} answers are NaN or infinite")
    return numbers
