"""What a model is compiled to, why it was not, and what was found out about it."""

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
    """The model has a part that this form has no equal of; the message says which."""


class CompiledModel(Protocol):
    """One way to compute the model's answers. Thread-safe; uses one thread; logs nothing."""

    @property
    def name(self) -> str: ...

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        """What the model answers to `rows` (at least one): shape (n,) or (n, k).

        Raises ValueError for rows that the model itself refuses, such as an unknown category where it knows no way out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A form that cannot be had for this model."""

    form: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How a form's answers compare with the model's own."""

    form: str
    rows: int
    labels_differ: int
    largest_difference: float
    """Of two scores, absolute; infinite where one of them is not a number and the other is."""
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.rows > 0 and self.labels_differ == 0 and self.largest_difference <= self.tolerance


@dataclass(frozen=True, slots=True)
class CompilationResult:
    """`form` None: none is proven, the model is served as it is. `refused`: why the faster ones are not used."""

    form: CompiledModel | None = None
    proof: ParityReport | None = None
    refused: tuple[Rejection, ...] = ()

    @property
    def name(self) -> str:
        return NATIVE if self.form is None else self.form.name

    def about(self) -> dict[str, Any]:
        """As JSON, for people."""
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
    """Rows to a matrix, a matrix to answers."""

    name: str
    encode: Callable[[Sequence[Row]], np.ndarray]
    """To (n, features)."""
    answer: Callable[[np.ndarray], np.ndarray]

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        return self.answer(self.encode(rows))
