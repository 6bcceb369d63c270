"""Files as pandas, Arrow and Spark write them: every named column is there, also one that pandas made the index."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chassis.parquet import columns_of, read_frame

FRAME = pd.DataFrame(
    {
        "a": [1.0, 2.0, 3.0],
        "who": ["x", "y", "x"],
        "at": pd.date_range("2020-01-01", periods=3, tz="UTC"),
        "kind": pd.Categorical(["u", "v", "u"]),
        "late": [0, 1, 0],
    }
)

INDICES = {
    "none": FRAME,
    "one column": FRAME.set_index("who"),
    "the label": FRAME.set_index("late"),
    "a category": FRAME.set_index("kind"),
    "a zoned time": FRAME.set_index("at"),
    "two columns": FRAME.set_index(["who", "at"]),
    "one column and a numbering": FRAME.set_index("who", append=True),
    "rows left out": FRAME.iloc[[0, 2]],
    "sorted": FRAME.sort_values("a", ascending=False),
    "sorted, by an index": FRAME.set_index("who").sort_index(),
}


def written(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "rows.parquet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are no strings
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("name", INDICES)
def test_the_columns_of_an_index_are_columns(name: str, tmp_path: Path) -> None:
    frame = INDICES[name]
    path = written(frame, tmp_path)
    found = read_frame(path)
    wanted = frame.reset_index() if frame.index.names != [None] else frame.reset_index(drop=True)
    assert set(found) == set(FRAME)
    pd.testing.assert_frame_equal(found[list(FRAME)], wanted[list(FRAME)])
    assert list(columns_of(pq.read_schema(path))) == list(found)


def test_a_level_that_has_a_columns_name_is_left_out(tmp_path: Path) -> None:
    frame = FRAME.set_index(pd.Index([7, 8, 9], name="who"))
    path = written(frame, tmp_path)
    assert list(read_frame(path)["who"]) == ["x", "y", "x"]
    assert list(columns_of(pq.read_schema(path))) == list(FRAME)


def test_a_numbering_with_a_name_is_a_column(tmp_path: Path) -> None:
    path = written(FRAME.rename_axis("id"), tmp_path)
    assert list(read_frame(path)["id"]) == [0, 1, 2]
    assert columns_of(pq.read_schema(path))["id"] == "int64"


def test_names_are_strings(tmp_path: Path) -> None:
    path = written(FRAME.rename(columns={"a": 0}).set_index(pd.Index([5, 6, 7], name=1)), tmp_path)
    found = read_frame(path)
    assert list(found) == ["0", "who", "at", "kind", "late", "1"]
    assert list(columns_of(pq.read_schema(path))) == list(found)


def test_a_file_that_arrow_wrote_has_its_columns_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"who": pa.array(["x"]), "__index_level_0__": pa.array([4])}), path)
    assert list(read_frame(path)) == list(columns_of(pq.read_schema(path))) == ["who", "__index_level_0__"]
