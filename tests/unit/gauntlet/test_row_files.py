"""Files of rows are read as the JSON values they stand for, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gauntlet.errors import CliError
from gauntlet.row_files import format_of, read_frame, read_rows, write_rows, written_whole


def test_csv_values_have_the_types_of_their_columns() -> None:
    Path("in.csv").write_text("n,x,s,b\n1,0.1,NA,True\n,1e3,,False\n")
    assert read_rows(Path("in.csv"), "csv") == [
        {"n": 1, "x": 0.1, "s": "NA", "b": True},
        {"n": None, "x": 1000.0, "s": None, "b": False},
    ]


def test_a_number_in_csv_keeps_its_last_digit() -> None:
    Path("in.csv").write_text("x\n0.30000000000000004\n1327.6467020204693\n")
    assert [row["x"] for row in read_rows(Path("in.csv"), "csv")] == [0.30000000000000004, 1327.6467020204693]


def test_parquet_times_and_categories_become_text() -> None:
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2013-06-01T05:00:00Z", None]),
            "c": pd.Categorical(["UA", None]),
            "n": pd.array([2**60 + 1, None], dtype="Int64"),
        }
    )
    frame.to_parquet("in.parquet")
    assert read_rows(Path("in.parquet"), "parquet") == [
        {"at": "2013-06-01T05:00:00+00:00", "c": "UA", "n": 2**60 + 1},
        {"at": None, "c": None, "n": None},
    ]


def test_a_column_in_the_index_of_a_parquet_file_is_a_field() -> None:
    pd.DataFrame({"a": [1.0], "who": ["x"]}).set_index("who").to_parquet("in.parquet")
    assert read_rows(Path("in.parquet"), "parquet") == [{"a": 1.0, "who": "x"}]
    assert list(read_frame(Path("in.parquet"))) == ["a", "who"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_what_is_written_is_read_again(kind: str) -> None:
    rows = [{"x": 5.0, "n": 3, "s": "ä", "b": True}, {"x": None, "n": None, "s": "b", "b": None}]
    write_rows(Path("file"), kind, rows)
    again = read_rows(Path("file"), kind)
    assert again == rows
    assert [list(map(type, row.values())) for row in again] == [list(map(type, row.values())) for row in rows]


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [("a.CSV", None, "csv"), ("a.ndjson", None, "jsonl"), ("a.parquet", None, "parquet"), ("a.txt", "CSV", "csv")],
)
def test_the_format_is_what_was_given_or_what_the_suffix_says(path: str, given: str | None, expected: str) -> None:
    assert format_of(Path(path), given) == expected


def test_a_block_that_fails_leaves_the_old_file_and_no_other() -> None:
    target = Path("out.csv")
    target.write_text("old")
    with pytest.raises(CliError, match="stop"), written_whole(target) as scratch:
        scratch.write_text("half")
        raise CliError("stop")
    assert target.read_text() == "old"
    assert list(Path().iterdir()) == [target]
