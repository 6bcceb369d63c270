"""Rows as columns: what a chunk of a window holds, as Arrow IPC.

Each column has the type of its values: numbers are numbers, texts are dictionaries. Where the values of a column are of
several types, or too large for one, each is kept as JSON, so that every value stays as it was predicted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from chassis.columns import microseconds
from drift.database.records import clean, dumps, loads

if TYPE_CHECKING:  # imported with the first batch: a start of the service needs none of it
    import numpy as np
    import pyarrow as pa

INTEGER, NUMBER, BOOLEAN, TEXT, NOTHING, JSON = "integer", "number", "boolean", "text", "nothing", "json"
KIND_OF = {int: INTEGER, float: NUMBER, bool: BOOLEAN, str: TEXT}

FEATURE = "f:"
"""Before the names of features, among the other columns."""
ANSWER = "answer"
WHOLE = "features"
"""In place of the features: each row's as one JSON object, where a batch has more names than MOST_COLUMNS."""
MOST_COLUMNS = 1000

EXACT = 2**53
"""Up to which every integer is a float."""


class Made(NamedTuple):
    """A predicted row. Ids are identities, times are in UTC; `score` and `answer` are the champion's."""

    model_name: str
    model_version: int
    request_id: str
    row: int
    key: int
    entity_id: str | None
    unit: int | None
    event_time: datetime | None
    made_at: datetime
    score: float | None
    answer: Any
    features: dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """Rows in order of arrival; `kinds`: how the answer and each feature are typed."""

    batch: pa.RecordBatch
    kinds: dict[str, str]

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def slice(self, first: int, rows: int) -> Columns:
        return self if first == 0 and rows >= len(self) else Columns(self.batch.slice(first, rows), self.kinds)

    def values(self, name: str) -> list[Any]:
        """Return a column as Python's values; times as microseconds since 1970."""
        return _plain(self.batch.column(name)).to_pylist()  # type: ignore[no-any-return]

    def without(self, keys: Collection[int]) -> Columns:
        """Leave out the rows of these keys."""
        if not keys:
            return self
        return self._where([key not in keys for key in self.values("key")])

    def made_after(self, when: datetime) -> Columns:
        after = microseconds(when)
        return self._where([made > after for made in self.values("made_at")])

    def span(self) -> tuple[int, int]:
        """Return the first and the last time, by the event where it says when it happened, in microseconds."""
        import pyarrow.compute as pc

        times = pc.min_max(_plain(pc.coalesce(self.batch.column("event_time"), self.batch.column("made_at"))))
        return times["min"].as_py(), times["max"].as_py()

    def made(self) -> tuple[int, int]:
        """Return when the first and the last of them were predicted, in microseconds."""
        import pyarrow.compute as pc

        times = pc.min_max(_plain(self.batch.column("made_at")))
        return times["min"].as_py(), times["max"].as_py()

    def encoded(self) -> bytes:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, self.batch.schema, options=options) as writer:
            writer.write_batch(self.batch)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

    def _where(self, kept: list[bool]) -> Columns:
        import pyarrow as pa

        return self if all(kept) else Columns(self.batch.filter(pa.array(kept, pa.bool_())), self.kinds)


def columns_of(rows: Sequence[Made]) -> Columns:
    """Return rows of one version as columns; at least one."""
    import pyarrow as pa

    _, versions, requests, numbers, keys, entities, units, event_times, made_at, scores, answers, features = zip(
        *rows, strict=True
    )
    del versions
    times = pa.timestamp("us", "UTC")
    columns = {
        "key": pa.array(keys, pa.int64()),
        "request": pa.array(requests, pa.string()),
        "row": pa.array(numbers, pa.int32()),
        "entity": pa.array(entities, pa.string()),
        "unit": pa.array(units, pa.int64()),
        "event_time": pa.array(event_times, times),
        "made_at": pa.array(made_at, times),
        "score": pa.array(scores, pa.float64()),
    }
    kinds: dict[str, str] = {}
    for name, values in {ANSWER: answers, **_features(features)}.items():
        kinds[name], columns[name] = typed(values)
    return Columns(pa.RecordBatch.from_pydict(columns), kinds)


def typed(values: Sequence[Any]) -> tuple[str, pa.Array]:
    """Return JSON scalars as an array, and its kind."""
    import pyarrow as pa

    found = set(map(type, values)) - {type(None)}
    kind = NUMBER if found == {int, float} else KIND_OF.get(next(iter(found)), JSON) if len(found) == 1 else JSON
    if not found:
        return NOTHING, pa.nulls(len(values))
    types = {INTEGER: pa.int64(), NUMBER: pa.float64(), BOOLEAN: pa.bool_(), TEXT: pa.string()}
    try:
        array = pa.array(values, types[kind]) if kind != JSON else _json(values)
    except (pa.ArrowException, OverflowError, UnicodeError):  # beyond 64 bits, or not exact, or a lone surrogate
        kind, array = JSON, _json(values)
    return kind, _shared(array) if kind == TEXT else array


def decoded(data: bytes, kinds: dict[str, str]) -> Columns:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        return Columns(reader.read_next_batch(), kinds)


def concatenated(parts: Sequence[Columns]) -> Columns:
    """Return the rows of small chunks as one."""
    import pyarrow as pa

    if any(WHOLE in part.kinds for part in parts) and not all(WHOLE in part.kinds for part in parts):
        parts = [part if WHOLE in part.kinds else _whole(part) for part in parts]
    kinds: dict[str, str] = {}
    columns: dict[str, Any] = {}
    for name in parts[0].batch.schema.names:
        if name not in parts[0].kinds:
            columns[name] = pa.concat_arrays([part.batch.column(name) for part in parts])
    for name in dict.fromkeys(name for part in parts for name in part.kinds):
        of_parts = {part.kinds.get(name, NOTHING) for part in parts}
        if len(of_parts) == 1 and of_parts.isdisjoint({TEXT, NOTHING}):
            kinds[name] = of_parts.pop()
            columns[name] = pa.concat_arrays([part.batch.column(name) for part in parts])
        else:
            kinds[name], columns[name] = typed([value for part in parts for value in scalars(part, name)])
    return Columns(pa.RecordBatch.from_pydict(columns), kinds)


def scalars(columns: Columns, name: str) -> list[Any]:
    """Return the values of the answer or of a feature as they were predicted; None where a row has none."""
    kind = columns.kinds.get(name)
    if kind is None:
        return [None] * len(columns)
    values = columns.batch.column(name).to_pylist()
    return [None if value is None else loads(value) for value in values] if kind == JSON else values


def fill(target: np.ndarray, start: int, part: Columns, name: str) -> None:
    """Write a column of numbers into `target`; what a row does not have stays as it is."""
    if part.kinds.get(name, NOTHING) != NOTHING:
        array = part.batch.column(name)
        values = array.to_numpy(zero_copy_only=False)  # with missing ones: floats, NaN
        target[start : start + len(part)] = values


def _features(rows: Sequence[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    names = list(rows[0])
    if all(list(row) == names for row in rows):
        if len(names) <= MOST_COLUMNS:
            values = zip(*(row.values() for row in rows), strict=True)
            return dict(zip(map(_stored, names), values, strict=True)) if names else {}
    else:
        names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MOST_COLUMNS:
        return {WHOLE: [row or None for row in rows]}
    return {_stored(name): [row.get(name) for row in rows] for name in names}


def _whole(part: Columns) -> Columns:
    """Return the rows with their features as one JSON object each."""
    import pyarrow as pa

    names = [name for name in part.kinds if name != ANSWER]
    rows = zip(*(scalars(part, name) for name in names), strict=True)
    bare = [name.removeprefix(FEATURE) for name in names]
    features = [dict(zip(bare, row, strict=True)) for row in rows] or [{}] * len(part)
    kept = {name: part.batch.column(name) for name in part.batch.schema.names if name not in names}
    kind, kept[WHOLE] = typed(features)
    return Columns(pa.RecordBatch.from_pydict(kept), {ANSWER: part.kinds[ANSWER], WHOLE: kind})


def _stored(name: str) -> str:
    return FEATURE + clean(name)


def _json(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if value is None else dumps(value) for value in values], pa.string())


def _shared(texts: pa.Array) -> pa.Array:
    """Keep each text once, where that is shorter."""
    found = texts.dictionary_encode()
    return found if 2 * len(found.dictionary) <= len(texts) else texts


def _plain(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    return array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
