"""Models with several outputs, as converters to ONNX write classifiers: a label, and the scores of all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.labels import ClassLabels


def own_classes(raw: Any) -> tuple[Any, ...] | None:
    """Return the classes by which an output names its scores, in its order; None where it has no such names."""
    found = [values for values in (_outputs(raw) or {}).values() if _is_by_class(values)]
    return tuple(found[0][0]) if found else None


def one_output(raw: Any, problem: str, classes: Sequence[Any] | None) -> Any:
    """Return the output that is judged: of a classifier its scores, where there are any, in the order of `classes`.

    Anything but a mapping, or a table with a column of mappings, is returned as it is. Raises ValueError where it is
    not clear which output is meant.
    """
    outputs = _outputs(raw)
    if outputs is None:
        return raw
    if len(outputs) == 1:
        return _read(next(iter(outputs.values())), classes)
    scores = [values for values in outputs.values() if _is_by_class(values) or _is_matrix(values)]
    labels = [values for values in outputs.values() if np.asarray(values).dtype.kind != "f"]
    found = [] if problem == "regression" else scores or labels
    if len(found) != 1:
        names = ", ".join(map(repr, outputs))
        raise ValueError(f"prediction has the outputs {names}; expected one, or a label and the scores of all classes")
    return _read(found[0], classes)


def _outputs(raw: Any) -> Mapping[Any, Any] | None:
    if isinstance(raw, Mapping):
        return raw
    columns = getattr(raw, "columns", None)  # pandas need not be imported for it
    if columns is None or not len(raw) or not any(isinstance(raw[name].iloc[0], Mapping) for name in columns):
        return None
    return {name: raw[name].tolist() for name in columns}


def _read(values: Any, classes: Sequence[Any] | None) -> Any:
    if not _is_by_class(values):
        return values
    own = tuple(values[0])
    order = _in_order(own, ClassLabels(classes)) if classes else own
    return np.array([[row[name] for name in order] for row in values])


def _in_order(own: tuple[Any, ...], classes: ClassLabels) -> tuple[Any, ...]:
    numbers = classes.numbers(own)
    if sorted(numbers) != list(range(len(classes.names))):
        raise ValueError(f"scores of the classes {list(own)!r:.200}; expected those of {list(classes.names)!r:.200}")
    return tuple(own[numbers.index(number)] for number in range(len(own)))


def _is_by_class(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) > 0 and all(isinstance(row, Mapping) for row in values)


def _is_matrix(values: Any) -> bool:
    array = np.asarray(values)
    return array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f"
