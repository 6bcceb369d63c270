"""Golden rows: the labelled rows on which champion and challenger are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from chassis.label_column import label_of
from chassis.mlmodel import MLmodel, by_position
from chassis.parquet import frame_of
from chassis.row_keys import as_utc
from chassis.signature_frame import Unfit, fitted, untyped
from chassis.splitmix64 import splitmix64
from contracts.labels import BINARY, UNKNOWN, ClassLabels, in_order, number
from contracts.metrics import Problem
from contracts.policy import ModelPolicy
from contracts.problem import find
from gatekeeper.evaluation.golden_roles import GoldenSource, Roles, Unusable, of_old, roles_of
from gatekeeper.evaluation.golden_series import series_of
from gatekeeper.evaluation.golden_tables import read_table
from gatekeeper.policy.statistics.metrics import Series

__all__ = ["GoldenRows", "GoldenSource", "Unusable", "chosen_rows", "read"]

NAMED = (
    "; log it with its classes in the order of its scores, as the labels are written:"
    ' metadata={"gauntlet": {"classes": […]}}'
)


@dataclass(frozen=True, eq=False)
class GoldenRows:
    """`rows` holds every column but the label; `truth` the labels as numbers, or as indices into `classes`: the
    candidate's classes, then any others in the rows."""

    rows: pd.DataFrame
    truth: NDArray[Any]
    classes: tuple[Any, ...] | None
    label: str
    found: int
    unlabelled: int
    not_features: frozenset[str]
    entity: str | None = None
    event_time: str | None = None
    problem: Problem | None = None
    because: str | None = None
    """How the problem was found that the policy does not state; None if it does."""
    series: Series | None = None
    """Their order in time; None if they have no event time."""

    @cached_property
    def entities(self) -> NDArray[np.int64] | None:
        """Return (n,) entity numbers, shared by the rows of one entity; None without an entity column."""
        if self.entity not in self.rows.columns:
            return None
        codes, _ = pd.factorize(self.rows[self.entity], use_na_sentinel=False)
        return codes.astype(np.int64)

    @property
    def until(self) -> str | None:
        """Return the event time of the newest row, ISO 8601 in UTC; None if rows have no time."""
        if self.event_time not in self.rows.columns or self.rows[self.event_time].isna().all():
            return None
        return as_utc(self.rows[self.event_time].max()).isoformat()

    def named_by(self, own: tuple[Any, ...], problem: str) -> GoldenRows:
        """Return the same rows with their labels numbered by a model's `own` classes. Raises Unusable."""
        assert self.classes is not None, "of a classifier"
        values = [self.classes[number] for number in self.truth.tolist()]
        if set(ClassLabels(own).numbers(values)) == {UNKNOWN}:
            raise Unusable(f"the label column holds {values[0]!r}, and the model's classes are {list(own)}{NAMED}")
        truth, classes = _encode(values, problem, own)
        return replace(self, truth=truth, classes=classes)

    def are_ordered(self) -> None:
        """Raise Unusable for two words, of which nothing says which one the scores are of."""
        if self.classes is not None and UNKNOWN in ClassLabels(BINARY).numbers(self.classes):
            first, second = self.classes
            raise Unusable(f"nothing says whether the model's scores are those of {first!r} or of {second!r}{NAMED}")

    def groups(self, column: str, bins: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names of the groups by a column, and (n,) group numbers of the rows. Numeric columns with many
        values are cut at quantiles into at most `bins`; missing values form a separate group."""
        values = self.rows[column]
        if pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > bins:
            values = pd.qcut(values.astype(np.float64), bins, duplicates="drop").astype(str)
        codes, names = pd.factorize(values.astype(object).where(values.notna(), "(missing)"), sort=False)
        return tuple(str(name) for name in names), codes.astype(np.int64)

    def features_of(self, model: MLmodel) -> list[str]:
        """Return the columns named by the model's signature; without names, all feature columns. Never the label."""
        if model.inputs is not None and not self._by_position(model.inputs):
            return [name for name in model.inputs if name in self.rows.columns]
        return [name for name in self.rows.columns if name not in self.not_features]

    @cached_property
    def untyped(self) -> tuple[str, ...]:
        """Describe the columns that MLflow has no type for."""
        return untyped(self.rows)

    def features_for(self, model: MLmodel) -> pd.DataFrame:
        """Return these columns, in the types of the signature, as serving would. Raises Unusable for what is unfit."""
        names = self.features_of(model)
        kinds = kinds_of(model)
        if model.inputs is not None and self._by_position(model.inputs):
            return self._matrix(names, model.inputs, kinds)
        absent = [name for name in model.inputs or () if name not in names and name != self.label]
        if needed := [name for name in absent if name not in model.optional]:
            raise Unusable(
                f"the golden rows have no column {needed[0]!r}, which the model's signature requires"
                f" ({_listed(self.rows.columns)})"
            )
        return _fitted(self.rows[names], kinds)

    def _by_position(self, inputs: tuple[str, ...]) -> bool:
        """Return whether a model's columns are those of the rows in their order: it has no names for them."""
        return by_position(inputs) and not set(inputs) <= set(self.rows.columns)

    def _matrix(self, names: list[str], inputs: tuple[str, ...], kinds: dict[str, str]) -> pd.DataFrame:
        if len(names) != len(inputs):
            raise Unusable(
                f"the model takes {len(inputs)} columns without names; the golden rows have {len(names)} besides the"
                f" label ({_listed(names)})"
            )
        return _fitted(self.rows[names].set_axis(list(inputs), axis=1), kinds)


def _fitted(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    try:
        return fitted(frame, kinds)
    except Unfit as error:
        raise Unusable(f"the golden rows do not fit the model's signature: {error}") from error


def read(path: Path, model: MLmodel, policy: ModelPolicy, source: GoldenSource | None) -> GoldenRows:
    """Read at most `golden.max_rows` labelled rows of a Parquet file, the same each time. Raises Unusable.

    `source` None: as evidence before format 3 was read, which must be judged again as it was judged then.
    """
    try:
        table = read_table(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Unusable(f"the evaluation dataset is no readable Parquet file: {error}") from error
    if source is None:
        frame, roles = table.to_pandas(), of_old(table, model, policy)
    else:
        frame, roles = frame_of(table), roles_of(table, model, policy, source)
        _check_entity(frame, roles)
    label = _label(frame, roles, model, policy.model)
    labelled = frame[frame[label].notna()]
    places = chosen_rows(len(labelled), policy.golden.max_rows)
    chosen = labelled.iloc[places].reset_index(drop=True)
    if chosen.empty:
        raise Unusable("the evaluation dataset has no labelled rows")
    problem, because = _problem(chosen[label], policy, model)
    truth, classes = _encode(chosen[label].tolist(), problem, model.classes)
    series = series_of(
        labelled,
        label,
        roles.event_time,
        roles.entity,
        places,
        is_numeric=problem == "regression",
        is_ordered=source is not None and source.ordered,
    )
    return GoldenRows(
        rows=chosen.drop(columns=[label]),
        truth=truth,
        classes=classes,
        label=label,
        found=len(frame),
        unlabelled=len(frame) - len(labelled),
        not_features=roles.not_features,
        entity=roles.entity,
        event_time=roles.event_time,
        problem=problem,
        because=because,
        series=series,
    )


def kinds_of(model: MLmodel) -> dict[str, str]:
    """Return MLflow's type names of the signature's columns, where it has named ones of simple types."""
    return dict(zip(model.inputs, model.kinds, strict=True)) if model.inputs and model.kinds else {}


def chosen_rows(n: int, most: int) -> NDArray[np.int64]:
    """Return positions of at most `most` of n rows, in order: those with the smallest hashes (splitmix64).

    Not a library's random generator, whose stream may change, and not every k-th row, which may have a pattern.
    """
    if n <= most:
        return np.arange(n, dtype=np.int64)
    hashes = splitmix64(np.arange(n, dtype=np.uint64))
    return np.sort(np.argsort(hashes, kind="stable")[:most]).astype(np.int64)


def _problem(labels: pd.Series[Any], policy: ModelPolicy, model: MLmodel) -> tuple[Problem, str | None]:
    """The policy's problem, or the one of this version. Raises Unusable when the policy's metrics do not have it."""
    if policy.states_problem:
        return policy.problem, None
    found = find(model.roles.get("problem"), model.classes, label_of(labels))
    if found is None:
        raise Unusable(f"what {policy.model} predicts is not known: the policy has to say it (problem:)")
    try:
        policy.completed(found.problem)
    except ValueError as error:
        raise Unusable(f"this is a {found.problem} problem, because {found.because}; {error}") from error
    return found.problem, found.because


def _check_entity(frame: pd.DataFrame, roles: Roles) -> None:
    """Rows of one entity are not independent: without its column, every bound would be too narrow."""
    if roles.entity is not None and roles.entity not in frame.columns:
        raise Unusable(
            f"the golden rows have no entity column {roles.entity!r}, which {roles.said_by['entity']} names"
            f" ({_listed(frame.columns)}): add the column, or correct the name"
        )


def _label(frame: pd.DataFrame, roles: Roles, model: MLmodel, model_name: str) -> str:
    label = roles.label
    if label is None:
        left = [name for name in frame.columns if name not in roles.not_features and name not in (model.inputs or ())]
        if model.inputs is None or len(left) != 1:
            raise Unusable(
                "the label column is unknown: neither the policy (label:), the model's metadata"
                ' ({"gauntlet": {"label": …}}) nor the golden dataset names it, and the signature leaves'
                f" {len(left) if model.inputs is not None else 'no'} columns over ({_listed(frame.columns)});"
                f" gauntlet golden create {model_name} FILE --label COLUMN names it"
            )
        label = left[0]
    if label not in frame.columns:
        raise Unusable(
            f"the golden rows have no label column {label!r}"
            + (f", which {said} names" if (said := roles.said_by.get("label")) else "")
            + f" ({_listed(frame.columns)})"
        )
    return str(label)


def _listed(columns: Sequence[Any]) -> str:
    return f"columns: {', '.join(map(str, columns[:30]))}{', …' if len(columns) > 30 else ''}"


def _two(values: list[Any]) -> tuple[Any, ...]:
    """Return the classes of a binary model that names none: 0 and 1, else the two that there are, in their order."""
    found = in_order(values)
    return found if len(found) == 2 and UNKNOWN in ClassLabels(BINARY).numbers(found) else BINARY


def _encode(
    values: list[Any], problem: str, classes: tuple[Any, ...] | None
) -> tuple[NDArray[Any], tuple[Any, ...] | None]:
    if problem == "regression":
        numbers = [number(value) for value in values]
        if None in numbers:
            raise Unusable(f"the label column holds {values[numbers.index(None)]!r}, which is no finite number")
        return np.array(numbers, dtype=np.float64), None
    known = ClassLabels(classes or (_two(values) if problem == "binary" else in_order(values)))
    if problem == "binary" and len(known.names) != 2:
        raise Unusable(f"the model names {len(known.names)} classes; a binary problem has two")
    if problem == "multiclass":
        # Keep classes that the candidate does not name: the champion may predict them correctly.
        known = known.with_others(values)
    truth = np.array(known.numbers(values), dtype=np.int64)
    if problem == "binary" and (truth < 0).any():
        bad, names = values[int(truth.argmin())], list(known.names)
        advice = "" if classes else NAMED
        raise Unusable(f"the label column holds {bad!r}, which is none of {names}{advice}")
    return truth, known.names
