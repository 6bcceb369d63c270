"""Compiled models, rejected forms with reasons, and parity reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

NATIVE = "native"

Row = tuple[Any, ...]
"""JSON values in the order of the model's columns: float, int, bool, str or None."""


@dataclass(frozen=True, slots=True)
class Column:
    """A feature, in the model's order; `kind` is MLflow's name of its type."""

    name: str
    kind: str


class Unsupported(Exception):
    """The model has a part that this form does not support; the message names it."""


class CompiledModel(Protocol):
    """One way to compute the model's predictions. Thread-safe; uses one thread; logs nothing."""

    @property
    def name(self) -> str: ...

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        """Predict `rows` (at least one): shape (n,) or (n, k).

        Raises ValueError for rows that the model itself rejects, such as an unknown category it cannot handle.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A form that is not available for this model, with the reason."""

    form: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The comparison of a compiled model's predictions with the model's own."""

    form: str
    rows: int
    labels_differ: int
    largest_difference: float
    """Absolute difference of two scores; infinite where exactly one of them is NaN."""
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.rows > 0 and self.labels_differ == 0 and self.largest_difference <= self.tolerance


@dataclass(frozen=True, slots=True)
class CompilationResult:
    """`form` None: none was verified, the native model is served. `refused`: why faster forms are not used."""

    form: CompiledModel | None = None
    proof: ParityReport | None = None
    refused: tuple[Rejection, ...] = ()

    @property
    def name(self) -> str:
        return NATIVE if self.form is None else self.form.name

    def about(self) -> dict[str, Any]:
        """Return a JSON summary for display."""
        parity = self.proof and {
            "rows": self.proof.rows,
            "labels_differ": self.proof.labels_differ,
            "largest_difference": self.proof.largest_difference,
            "tolerance": self.proof.tolerance,
        }
        refused = [{"form": each.form, "reason": each.reason} for each in self.refused]
        return {"name": self.name, "parity": parity or None, "refused": refused}


@dataclass(frozen=True, slots=True)
class MatrixModel:
    """Encodes rows into a matrix, and predicts from the matrix."""

    name: str
    encode: Callable[[Sequence[Row]], np.ndarray]
    """To (n, features)."""
    answer: Callable[[np.ndarray], np.ndarray]

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        return self.answer(self.encode(rows))
