"""Encodes rows into the matrix that an estimator takes: one array from Python values, then whole-matrix steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from forms.form import Row

Node = Callable[[np.ndarray], np.ndarray]
"""Maps the base matrix (n, m) to a part of the estimator's matrix (n, k); never modifies its argument."""


class Table(dict[Any, float]):
    """Maps categories to codes. `other` maps None and values that are not keys; it may raise ValueError."""

    def __init__(self, known: Mapping[Any, float], other: Callable[[Any], float]) -> None:
        super().__init__(known)
        self.other = other

    def __missing__(self, value: Any) -> float:
        return self.other(value)

    def then(self, second: Callable[[float], float]) -> Table:
        """Return the composition of this table and `second`."""
        first = self.other
        return Table({value: second(code) for value, code in self.items()}, lambda value: second(first(value)))


@dataclass(slots=True)
class Base:
    """The base matrix: each column is a column of the rows, as a number or mapped through a table."""

    inputs: list[int] = field(default_factory=list)
    tables: list[tuple[int, Table]] = field(default_factory=list)
    singles: list[int] = field(default_factory=list)
    """Columns of single precision (MLflow's float): values are rounded as for the model."""

    def add(self, index: int, table: Table | None = None, *, single: bool = False) -> int:
        self.inputs.append(index)
        place = len(self.inputs) - 1
        if table is not None:
            self.tables.append((place, table))
        if single:
            self.singles.append(place)
        return place


class Encoder:
    """Callable: rows to a matrix (n, k). Raises ValueError for values that the fitted transformers reject."""

    def __init__(self, base: Base, node: Node) -> None:
        self._width = len(base.inputs)
        self._tables = base.tables
        self._singles = np.array(base.singles, dtype=np.intp)
        self._node = node
        self._is_plain = base.inputs == list(range(self._width))
        self._pick = itemgetter(*base.inputs) if self._width > 1 else None
        self._only = base.inputs[0] if self._width == 1 else 0

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        try:
            base = self._base(rows)
        except (TypeError, OverflowError) as error:  # a list instead of a string; an integer beyond the range of floats
            raise ValueError(f"a value that its column does not take: {error}") from error
        return self._node(base)

    def _base(self, rows: Sequence[Row]) -> np.ndarray:
        width = self._width
        if len(rows) == 1:
            values = list(self._pick(rows[0])) if self._pick else [rows[0][self._only]]
            for place, table in self._tables:
                values[place] = table[values[place]]
        else:
            values = []
            if self._pick:
                for row in map(self._pick, rows):
                    values += row
            else:
                values = [row[self._only] for row in rows]
            for place, table in self._tables:
                values[place::width] = [table[value] for value in values[place::width]]
        base = np.fromiter(values, np.float64, len(values)).reshape(-1, width)  # None becomes NaN
        if self._singles.size:
            base[:, self._singles] = base[:, self._singles].astype(np.float32)
        return base


@dataclass(frozen=True, slots=True)
class Slice:
    """Columns of the base matrix. `single`: computations use single precision, as for a frame of such columns."""

    start: int
    stop: int
    single: bool = False

    def __call__(self, base: np.ndarray) -> np.ndarray:
        part = base if self.start == 0 and self.stop == base.shape[1] else base[:, self.start : self.stop]
        return part.astype(np.float32) if self.single else part


@dataclass(frozen=True, slots=True)
class Take:
    """Columns of another node."""

    node: Node
    columns: Sequence[int]

    def __call__(self, base: np.ndarray) -> np.ndarray:
        return self.node(base)[:, self.columns]


@dataclass(frozen=True, slots=True)
class Fill:
    """Replaces missing values by `fills`, one per column."""

    node: Node
    fills: np.ndarray

    def __call__(self, base: np.ndarray) -> np.ndarray:
        values = _finite_or_missing(self.node(base))
        missing = np.isnan(values)
        return np.where(missing, self.fills.astype(values.dtype, copy=False), values) if missing.any() else values


@dataclass(frozen=True, slots=True)
class Shift:
    """(x − offset) ÷ scale, in this order; None omits a step.

    `is_rounded`: both are first rounded to the precision of x, which only matters for single precision.
    """

    node: Node
    offset: np.ndarray | None
    scale: np.ndarray | None
    is_rounded: bool = False

    def __call__(self, base: np.ndarray) -> np.ndarray:
        values = _finite_or_missing(self.node(base))
        dtype = values.dtype
        rounded = dtype if self.is_rounded else np.float64
        if self.offset is not None:
            values = (values - self.offset.astype(rounded, copy=False)).astype(dtype, copy=False)
        if self.scale is not None:
            values = (values / self.scale.astype(rounded, copy=False)).astype(dtype, copy=False)
        return values


@dataclass(frozen=True, slots=True)
class Stretch:
    """x × scale + offset, clipped to `bounds`."""

    node: Node
    scale: np.ndarray
    offset: np.ndarray
    bounds: tuple[float, float] | None

    def __call__(self, base: np.ndarray) -> np.ndarray:
        values = _finite_or_missing(self.node(base))
        dtype = values.dtype
        values = ((values * self.scale).astype(dtype, copy=False) + self.offset).astype(dtype, copy=False)
        clipped: np.ndarray = values if self.bounds is None else np.clip(values, *self.bounds)
        return clipped


@dataclass(frozen=True, slots=True)
class OneHot:
    """Base columns from `start` to `stop` contain the position of the one in (n, width), or `width` for none."""

    start: int
    stop: int
    width: int

    def __call__(self, base: np.ndarray) -> np.ndarray:
        places = base[:, self.start : self.stop].astype(np.intp)
        ones = np.zeros((len(base), self.width + 1))
        ones[np.arange(len(base))[:, None], places] = 1.0
        return ones[:, :-1]


@dataclass(frozen=True, slots=True)
class Apply:
    """Calls a fitted transformer unchanged, on numbers."""

    node: Node
    transform: Callable[[np.ndarray], Any]

    def __call__(self, base: np.ndarray) -> np.ndarray:
        return dense(self.transform(self.node(base)))


@dataclass(frozen=True, slots=True)
class Beside:
    """Concatenates nodes column-wise."""

    nodes: tuple[Node, ...]

    def __call__(self, base: np.ndarray) -> np.ndarray:
        return np.concatenate([node(base) for node in self.nodes], axis=1)


def dense(values: Any) -> np.ndarray:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _finite_or_missing(values: np.ndarray) -> np.ndarray:
    if np.isinf(values).any():
        raise ValueError("input contains infinity")
    return values
