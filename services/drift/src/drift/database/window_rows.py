"""The rows of a window, as they were predicted: features, predictions, and the labels that have arrived.

Numbers are arrays of floats (integers, where each row has one), NaN where a row has none; texts are categories. Only a
column whose values are of several types, or are too large, is one of Python's values, as they were predicted. Chunks
are read one at a time, so that a window of a million rows takes little more memory than what is returned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.columns import from_microseconds
from contracts import Scalar
from drift.database import chunks, places
from drift.database.columns import (
    ANSWER,
    EXACT,
    FEATURE,
    INTEGER,
    JSON,
    NOTHING,
    NUMBER,
    TEXT,
    WHOLE,
    Columns,
    fill,
    scalars,
)
from drift.database.records import loads
from drift.database.tables import WindowRow

MOST_OTHERS = 50
"""Columns that the reference does not have, of which the names are read."""

SCORE, EVENT_TIME, MADE_AT, ENTITY = "score", "event_time", "made_at", "entity"
"""Columns of a chunk besides the features and ANSWER."""


class Answered(NamedTuple):
    """One labelled row; `score` is the probability of the positive class, `answer` the predicted class or number."""

    score: float | None
    answer: Scalar
    truth: Scalar
    event_time: datetime | None = None
    entity: str | None = None


class LabelledRow(NamedTuple):
    """A labelled row as it was predicted. `at`: its event time, else when it was predicted."""

    features: dict[str, Scalar]
    truth: Scalar
    entity: str | None
    at: datetime


class PredictedColumns(NamedTuple):
    """Predictions of n rows: scores (n,) as floats, NaN without; answers (n,), of whatever type."""

    scores: NDArray[np.float64]
    answers: pd.Series


def features(session: Session, window: WindowRow, names: list[str]) -> pd.DataFrame:
    """Return the features that any row has, in order of arrival, and empty columns for some other names."""
    seen = feature_names(session, window)
    found = _columns(session, window, [FEATURE + name for name in names if name in seen])
    others = sorted(seen.difference(names))[:MOST_OTHERS]
    columns = {name.removeprefix(FEATURE): values for name, values in found.items()}
    columns |= {name: pd.Series(None, index=_rows(window), dtype=object) for name in others}
    return pd.DataFrame(columns, index=_rows(window), copy=False)  # a copy would be as large again


def feature_names(session: Session, window: WindowRow) -> set[str]:
    """Return the names of the features that any row has."""
    kinds = chunks.kinds_of(session, window)
    names = {name.removeprefix(FEATURE) for _, of_chunk in kinds for name in of_chunk if name.startswith(FEATURE)}
    if any(WHOLE in of_chunk for _, of_chunk in kinds):
        for part in chunks.chunks_of(session, window.key):
            names.update(*(row or () for row in scalars(part, WHOLE)))
    return names


def predicted(session: Session, window: WindowRow) -> PredictedColumns:
    """Return the predictions of all rows, in order of arrival, as columns."""
    scores = [part.batch.column(SCORE).to_numpy(zero_copy_only=False) for part in chunks.chunks_of(session, window.key)]
    answers = _columns(session, window, [ANSWER])[ANSWER]
    return PredictedColumns(np.concatenate([np.empty(0), *scores]).astype(np.float64), pd.Series(answers))


def labelled(session: Session, window: WindowRow) -> list[Answered]:
    """Return the rows that have a label, in order of arrival."""
    given = {seat: loads(label) for seat, label, _ in places.given_of(session, window.key)}
    found: list[Answered] = []
    start = 0
    for part in chunks.chunks_of(session, window.key) if given else ():
        columns = zip(
            part.values(SCORE), scalars(part, ANSWER), part.values(EVENT_TIME), part.values(ENTITY), strict=True
        )
        for seat, (score, answer, event_time, entity) in enumerate(columns, start):
            if seat in given:
                when = None if event_time is None else from_microseconds(event_time)
                found.append(Answered(score, answer, given[seat], when, entity))
        start += len(part)
    return found


def newest_labelled(
    session: Session, model_name: str, model_version: int, limit: int, until: datetime | None = None
) -> list[LabelledRow]:
    """Return the newest labelled rows of a version, in order of arrival; of those predicted `until` then, if given."""
    query = select(WindowRow).where(
        WindowRow.model_name == model_name,
        WindowRow.model_version == model_version,
        WindowRow.labelled > 0,
        ~WindowRow.pruned,
    )
    found: list[LabelledRow] = []
    for window in session.scalars(query.order_by(WindowRow.number.desc())):
        found = [*_labelled_rows(session, window, until), *found][-limit:]
        if len(found) == limit:
            break
    return found


def _labelled_rows(session: Session, window: WindowRow, until: datetime | None) -> Iterator[LabelledRow]:
    given = {seat: loads(label) for seat, label, _ in places.given_of(session, window.key)}
    start = 0
    for part in chunks.chunks_of(session, window.key):
        times = zip(part.values(MADE_AT), part.values(EVENT_TIME), part.values(ENTITY), strict=True)
        for seat, (of_row, (made, event_time, entity)) in enumerate(zip(_rows_of(part), times, strict=True), start):
            made_at = from_microseconds(made)
            if seat in given and (until is None or made_at <= until):
                when = made_at if event_time is None else from_microseconds(event_time)
                yield LabelledRow(of_row, given[seat], entity, when)
        start += len(part)


def _rows_of(part: Columns) -> list[dict[str, Scalar]]:
    if WHOLE in part.kinds:
        return [row or {} for row in scalars(part, WHOLE)]
    names = [name for name in part.kinds if name.startswith(FEATURE)]
    bare = [name.removeprefix(FEATURE) for name in names]
    if not names:
        return [{} for _ in range(len(part))]
    return [dict(zip(bare, row, strict=True)) for row in zip(*(scalars(part, name) for name in names), strict=True)]


def _rows(window: WindowRow) -> pd.RangeIndex:
    return pd.RangeIndex(window.rows)


def _columns(session: Session, window: WindowRow, names: Sequence[str]) -> dict[str, Any]:
    """Return columns of the window, each of one type for all chunks."""
    of_chunks = chunks.kinds_of(session, window)
    whole = any(WHOLE in kinds for _, kinds in of_chunks)
    kinds = {name: {of_chunk.get(name, NOTHING) for _, of_chunk in of_chunks} for name in names}
    builders = {name: _builder({JSON} if whole and name != ANSWER else kinds[name], window.rows) for name in names}
    start = 0
    for part in chunks.chunks_of(session, window.key):
        of_row = scalars(part, WHOLE) if WHOLE in part.kinds else None
        for name, builder in builders.items():
            if of_row is not None and name != ANSWER:
                bare = name.removeprefix(FEATURE)
                builder.write(start, [(row or {}).get(bare) for row in of_row])
            else:
                builder.add(start, part, name)
        start += len(part)
    return {name: builder.done() for name, builder in builders.items()}


class _Values:
    """A column of Python's values."""

    def __init__(self, rows: int) -> None:
        self._found = np.full(rows, None, dtype=object)

    def add(self, start: int, part: Columns, name: str) -> None:
        self.write(start, scalars(part, name))

    def write(self, start: int, values: list[Any]) -> None:
        self._found[start : start + len(values)] = values

    def done(self) -> Any:
        return pd.Series(self._found, dtype=object)  # as they are: a frame looks for times among bare objects


class _Floats(_Values):
    """A column of numbers; of integers where each row has one. An integer that is no float makes it one of values."""

    def __init__(self, rows: int, *, integers: bool) -> None:
        self._found = np.full(rows, np.nan)
        self._whole = np.zeros(rows, dtype=np.int64) if integers else None
        self._missing = False
        self._others: list[tuple[int, Columns, str]] = []

    def add(self, start: int, part: Columns, name: str) -> None:
        kind = part.kinds.get(name, NOTHING)
        if kind == INTEGER and not _is_exact(part, name):
            self._others.append((start, part, name))
        fill(self._found, start, part, name)
        array = part.batch.column(name) if kind != NOTHING else None
        if array is None or array.null_count:
            self._missing = True
        elif self._whole is not None:
            self._whole[start : start + len(part)] = array.to_numpy(zero_copy_only=False)

    def done(self) -> Any:
        if self._whole is not None and not self._missing:
            return self._whole
        if not self._others:
            return self._found
        values = self._found.astype(object)
        values[np.isnan(self._found)] = None
        for start, part, name in self._others:
            values[start : start + len(part)] = scalars(part, name)
        return pd.Series(values, dtype=object)


class _Texts(_Values):
    """A column of categories: each text once, and a number a row."""

    def __init__(self, rows: int) -> None:
        self._codes = np.full(rows, -1, dtype=np.int32)
        self._texts: dict[str, int] = {}

    def add(self, start: int, part: Columns, name: str) -> None:
        if part.kinds.get(name, NOTHING) == NOTHING:
            return
        array = part.batch.column(name)
        array = array if hasattr(array, "dictionary") else array.dictionary_encode()
        places_of = [self._texts.setdefault(text, len(self._texts)) for text in array.dictionary.to_pylist()]
        codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._codes[start : start + len(part)] = np.array([*places_of, -1], dtype=np.int32)[codes]

    def done(self) -> Any:
        return pd.Categorical.from_codes(self._codes, categories=pd.Index(list(self._texts), dtype=object))


def _builder(kinds: Collection[str], rows: int) -> _Values:
    some = set(kinds) - {NOTHING}
    if not some or some <= {INTEGER, NUMBER}:
        return _Floats(rows, integers=some == {INTEGER} and NOTHING not in kinds)
    return _Texts(rows) if some == {TEXT} else _Values(rows)


def _is_exact(part: Columns, name: str) -> bool:
    import pyarrow.compute as pc

    found = pc.min_max(part.batch.column(name))
    low, high = found["min"].as_py(), found["max"].as_py()
    return low is None or (low >= -EXACT and high <= EXACT)
