"""Converts fitted scikit-learn transformers into the steps of an encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from forms.categories import tables
from forms.encoder import Apply, Base, Beside, Encoder, Fill, Node, OneHot, Shift, Slice, Stretch, Table, Take
from forms.form import Column, Unsupported

NUMERIC = ("double", "float", "long", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Raw:
    """An input column, unchanged."""

    index: int
    column: Column
    width = 1

    def build(self, base: Base) -> Node:
        if self.column.kind not in NUMERIC:
            raise Unsupported(f"column {self.column.name!r} of type {self.column.kind} reaches the model unencoded")
        single = self.column.kind == "float"
        place = base.add(self.index, single=single)
        return Slice(place, place + 1, single)


@dataclass(frozen=True, slots=True)
class Coded:
    """An input column mapped through a table."""

    index: int
    table: Table
    width = 1

    def build(self, base: Base) -> Node:
        place = base.add(self.index, self.table)
        return Slice(place, place + 1)


@dataclass(frozen=True, slots=True)
class Hot:
    """Columns mapped through tables to the positions of the ones."""

    coded: Sequence[Coded]
    width: int

    def build(self, base: Base) -> Node:
        start = len(base.inputs)
        for each in self.coded:
            each.build(base)
        return OneHot(start, len(base.inputs), self.width)


@dataclass(frozen=True, slots=True)
class Stepped:
    """Concatenated parts, passed through a step."""

    parts: Sequence[Part]
    step: Callable[[Node], Node]
    width: int

    def build(self, base: Base) -> Node:
        return self.step(beside(self.parts, base))


Part = Raw | Coded | Hot | Stepped


def encoder(parts: Sequence[Part]) -> Encoder:
    """Build an encoder. Raises Unsupported."""
    base = Base()
    return Encoder(base, beside(parts, base))


def beside(parts: Sequence[Part], base: Base) -> Node:
    nodes: list[Node] = []
    for part in parts:
        node = part.build(base)
        last = nodes[-1] if nodes else None
        if (
            isinstance(node, Slice)
            and isinstance(last, Slice)
            and last.stop == node.start
            and last.single == node.single
        ):
            nodes[-1] = Slice(last.start, node.stop, node.single)
        else:
            nodes.append(node)
    if not nodes:
        raise Unsupported("no column reaches the model")
    return nodes[0] if len(nodes) == 1 else Beside(tuple(nodes))


def transformed(transformer: Any, parts: Sequence[Part]) -> list[Part]:
    """Return the output parts of a fitted transformer applied to `parts`. Raises Unsupported."""
    if isinstance(transformer, str) or transformer is None:
        return [] if transformer == "drop" else list(parts)
    if isinstance(transformer, FunctionTransformer) and transformer.func is None:
        return list(parts)
    if _encodes(transformer) and all(isinstance(part, Raw) for part in parts):
        return _categories(transformer, parts)  # type: ignore[arg-type]
    if isinstance(transformer, Pipeline):
        for _, step in transformer.steps:
            parts = transformed(step, parts)
        return list(parts)
    if isinstance(transformer, ColumnTransformer):
        found: list[Part] = []
        for name, inner, columns in transformer.transformers_:
            places = _places(transformer, name, columns, len(parts))
            if places:
                found += transformed(inner, _taken(parts, places))
        return found
    if isinstance(transformer, FeatureUnion):
        weights = transformer.transformer_weights or {}
        if set(weights.values()) - {1}:
            raise Unsupported("a FeatureUnion with weights")
        return [part for _, inner in transformer.transformer_list for part in transformed(inner, parts)]
    return _numbers(transformer, parts)


def _encodes(transformer: Any) -> bool:
    """Whether it is a categorical encoder, possibly after imputers."""
    if isinstance(transformer, Pipeline):
        *before, last = [step for _, step in transformer.steps if step not in (None, "passthrough")] or [None]
        return _encodes(last) and all(isinstance(step, SimpleImputer) for step in before)
    if isinstance(transformer, TargetEncoder):
        return str(transformer.target_type_) != "multiclass"  # multiclass would produce a column per class
    return isinstance(transformer, OneHotEncoder | OrdinalEncoder)


def _categories(transformer: Any, parts: Sequence[Raw]) -> list[Part]:
    last = transformer
    if isinstance(transformer, Pipeline):
        last = [step for _, step in transformer.steps if step not in (None, "passthrough")][-1]
    if len(last.categories_) != len(parts):
        raise Unsupported("an imputer before an encoder that drops or adds columns")
    columns = [part.column for part in parts]
    if isinstance(last, OrdinalEncoder | TargetEncoder):
        found = tables(transformer, columns, last.categories_, lambda answered, place: float(answered[place]))
        return [Coded(part.index, table) for part, table in zip(parts, found, strict=True)]
    ends = np.cumsum(last._n_features_outs)  # the number of columns of each category; not public
    width = int(ends[-1])

    def place_of_one(answered: np.ndarray, place: int) -> float:
        start = int(ends[place - 1]) if place else 0
        ones = np.flatnonzero(answered[start : ends[place]])
        return float(start + ones[0]) if ones.size else float(width)

    found = tables(transformer, columns, last.categories_, place_of_one)
    return [Hot([Coded(part.index, table) for part, table in zip(parts, found, strict=True)], width)]


def _places(transformer: ColumnTransformer, name: str, columns: Any, width: int) -> list[int]:
    names = list(getattr(transformer, "feature_names_in_", ()))
    if callable(columns):
        columns = transformer._columns[[each[0] for each in transformer.transformers_].index(name)]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = names.index(columns.start) if columns.start is not None else 0
            stop = names.index(columns.stop) + 1 if columns.stop is not None else width
            return list(range(start, stop))
        return list(range(width))[columns]
    wanted = np.atleast_1d(np.asarray(columns, dtype=object)).tolist()
    if wanted and all(isinstance(each, bool | np.bool_) for each in wanted):
        return [place for place, taken in enumerate(wanted) if taken]
    return [names.index(each) if isinstance(each, str) else range(width)[each] for each in wanted]


def _taken(parts: Sequence[Part], places: Sequence[int]) -> list[Part]:
    if all(part.width == 1 for part in parts):
        return [parts[place] for place in places]
    return [Stepped(parts, lambda node: Take(node, list(places)), len(places))]


def _numbers(transformer: Any, parts: Sequence[Part]) -> list[Part]:
    step, width = _step(transformer, sum(part.width for part in parts))
    return [Stepped(parts, step, width)]


def _step(transformer: Any, width: int) -> tuple[Callable[[Node], Node], int]:
    """For a numeric transformer, return a function that wraps a node, and the number of output columns."""
    if isinstance(transformer, StandardScaler):
        mean = transformer.mean_ if transformer.with_mean else None
        scale = transformer.scale_ if transformer.with_std else None
        return lambda node: Shift(node, mean, scale, is_rounded=True), width
    if isinstance(transformer, RobustScaler):
        center = transformer.center_ if transformer.with_centering else None
        spread = transformer.scale_ if transformer.with_scaling else None
        return lambda node: Shift(node, center, spread), width
    if isinstance(transformer, MaxAbsScaler) and not getattr(transformer, "clip", False):
        return lambda node: Shift(node, None, transformer.scale_), width
    if isinstance(transformer, MinMaxScaler):
        bounds = tuple(map(float, transformer.feature_range)) if transformer.clip else None
        return lambda node: Stretch(node, transformer.scale_, transformer.min_, bounds), width  # type: ignore[arg-type]
    if isinstance(transformer, SimpleImputer) and not transformer.add_indicator:
        return _imputing(transformer, width)
    return _as_it_is(transformer, width)


def _imputing(imputer: SimpleImputer, width: int) -> tuple[Callable[[Node], Node], int]:
    if not isinstance(imputer.missing_values, float) or not np.isnan(imputer.missing_values):
        raise Unsupported(f"a SimpleImputer of {imputer.missing_values!r} instead of NaN")
    try:
        fills = np.asarray(imputer.statistics_, dtype=np.float64)
    except (ValueError, TypeError):
        raise Unsupported("a SimpleImputer of words without an encoder after it") from None
    kept = np.flatnonzero(~np.isnan(fills))  # columns without any value are dropped
    if len(kept) == width:
        return lambda node: Fill(node, fills), width
    return lambda node: Fill(Take(node, kept.tolist()), fills[kept]), len(kept)


def _as_it_is(transformer: Any, width: int) -> tuple[Callable[[Node], Node], int]:
    name = type(transformer).__name__
    if not type(transformer).__module__.startswith("sklearn.") or isinstance(transformer, FunctionTransformer):
        raise Unsupported(f"the transformer {name}")
    nameless = without_names(transformer)
    try:
        out = np.shape(dense_transform(nameless, np.zeros((1, width))))[1]
    except Exception as error:  # a transformer may raise anything for zeros
        raise Unsupported(f"the transformer {name}: {type(error).__name__}: {error}") from error
    return lambda node: Apply(node, nameless.transform), out


def dense_transform(transformer: Any, values: np.ndarray) -> np.ndarray:
    return Apply(lambda base: base, transformer.transform)(values)


def without_names(estimator: Any) -> Any:
    """Return a shallow copy that does not warn about arrays without column names."""
    if "feature_names_in_" not in vars(estimator):
        return estimator
    nameless = copy.copy(estimator)
    del nameless.feature_names_in_
    return nameless
