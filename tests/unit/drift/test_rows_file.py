"""Labelled rows as Parquet: one type a column, and names for the columns that are no features."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drift.benchmarks.rows_file import Columns, column_of, columns_of, write
from drift.database.window_rows import LabelledRow

AT = datetime(2026, 3, 1, tzinfo=UTC)


def row(features: dict[str, Any], truth: Any = 1, entity: str | None = None) -> LabelledRow:
    return LabelledRow(features, truth, entity, AT)


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([1, 2, None], pa.int64(), [1, 2, None]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([True, False, None], pa.bool_(), [True, False, None]),
        (["a", None], pa.string(), ["a", None]),
        ([1, "a", True, 0.5], pa.string(), ["1", "a", "true", "0.5"]),
        ([True, 1], pa.string(), ["true", "1"]),
        ([2**70, 1], pa.float64(), [2.0**70, 1.0]),
        ([10**400, 1], pa.string(), [str(10**400), "1"]),
        ([None, None], pa.string(), [None, None]),
    ],
)
def test_a_column_has_one_type(values: list[Any], kind: pa.DataType, read: list[Any]) -> None:
    found = column_of(values)
    assert found.type == kind and found.to_pylist() == read


@pytest.mark.parametrize(
    ("rows", "label", "entity", "found"),
    [
        ([row({"a": 1})], None, None, Columns("label", "event_time", None)),
        ([row({"a": 1}, entity="x")], None, None, Columns("label", "event_time", "entity")),
        ([row({"a": 1}, entity="x")], "late", "tail", Columns("late", "event_time", "tail")),
        ([row({"a": 1, "tail": "x"})], "late", "tail", Columns("late", "event_time", "tail")),
        ([row({"a": 1})], "late", "tail", Columns("late", "event_time", None)),
        ([row({"label": 1, "event_time": 2}, entity="x")], None, None, Columns("label_", "event_time_", "entity")),
        ([row({"late": None})], "late", None, Columns("late", "event_time", None)),
    ],
)
def test_columns_have_names_of_their_own(
    rows: list[LabelledRow], label: str | None, entity: str | None, found: Columns
) -> None:
    assert columns_of(rows, label, entity) == found


def test_the_label_that_was_sent_as_a_feature_is_replaced_by_the_truth(tmp_path: Path) -> None:
    rows = [row({"a": 1, "late": None, "tail": "T1"}, 1, "T1"), row({"b": 2.5, "tail": "T2"}, 0, None)]
    columns = columns_of(rows, "late", "tail")
    write(rows, columns, tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.to_pydict() == {
        "a": [1, None],
        "tail": ["T1", "T2"],
        "b": [None, 2.5],
        "event_time": [AT, AT],
        "late": [1, 0],
    }
    roles = json.loads(table.schema.metadata[b"gauntlet"])
    assert roles == {"label": "late", "event_time": "event_time", "entity": "tail"}


def test_rows_without_an_entity_are_not_one_entity(tmp_path: Path) -> None:
    rows = [row({"a": 1}, entity="x"), row({"a": 2}), row({"a": 3}), row({"a": 4}, entity="x")]
    write(rows, columns_of(rows, None, None), tmp_path / "rows.parquet")
    entities = pq.read_table(tmp_path / "rows.parquet")["entity"].to_pylist()
    assert entities[0] == entities[3] == "x" and len(set(entities)) == 3
