"""Rows are recognised however they were written, and others are not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chassis.row_keys import TrainedOn, row_keys

ROWS = pd.DataFrame(
    {
        "n": [1.0, 0.0, -2.5, np.nan, 1e-12, 123456.0],
        "word": ["a", "b", None, "a", "", "é"],
        "who": [1, 2, 3, 4, 5, 6],
    }
)
FEATURES = ["n", "word"]


def same(one: pd.DataFrame, other: pd.DataFrame, kind: str = "exact") -> list[bool]:
    keys = [getattr(row_keys(frame, FEATURES, "who"), kind) for frame in (one, other)]
    return (keys[0] == keys[1]).tolist()


def test_keys_are_the_same_years_later() -> None:
    """Written down once: a library's new version must not make old key files worthless."""
    keys = row_keys(ROWS, FEATURES, "who")
    assert [hex(key) for key in keys.exact[:2].tolist()] == EXACT
    assert [hex(key) for key in keys.rounded[:2].tolist()] == ROUNDED
    assert keys.entity is not None and hex(int(keys.entity[0])) == ENTITY


EXACT = ["0x30ae54c620e00346", "0x9bffd33a2dcf2125"]
ROUNDED = ["0x7d4b0e50db7b5464", "0x9bffd33a2dcf2125"]
ENTITY = "0x7637ba9f0342fcf6"


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[["word", "who", "n"]],
        lambda frame: frame.assign(n=frame["n"].where(frame["n"] != 0, -0.0)),
        lambda frame: frame.assign(word=frame["word"].astype("category"), who=frame["who"].astype(float)),
        lambda frame: frame.assign(n=frame["n"].astype("Float64")),
        lambda frame: frame.assign(extra=1).set_index(pd.Index(list("uvwxyz"))),
    ],
    ids=["columns in another order", "negative zero", "other types", "nullable", "more columns"],
)
def test_the_same_row_has_the_same_keys(change) -> None:
    for kind in ("exact", "rounded", "entity"):
        assert all(same(ROWS, change(ROWS), kind)), kind


def test_another_value_has_another_key() -> None:
    assert not any(same(ROWS, ROWS.assign(n=ROWS["n"].fillna(7.0) * 1.5 + 1)))
    assert not any(same(ROWS, ROWS.assign(word="other")))
    swapped = pd.DataFrame({"n": [1.0], "m": [2.0]}), pd.DataFrame({"n": [2.0], "m": [1.0]})
    one, other = (row_keys(frame, ["n", "m"]).exact for frame in swapped)
    assert one != other


def test_rounded_keys_see_through_another_precision() -> None:
    shorter = ROWS.assign(n=[1.0004, 0.0, -2.5009, np.nan, 1.0004e-12, 123411.0])
    assert all(same(ROWS, shorter, "rounded"))
    assert same(ROWS, shorter) == [False, True, False, True, False, False]
    carried = (
        pd.DataFrame({"n": [9.996], "word": ["a"], "who": [1]}),
        pd.DataFrame({"n": [10.0], "word": "a", "who": 1}),
    )
    assert same(*carried, "rounded") == [True]


def test_what_was_trained_on_survives_its_file(tmp_path: Path) -> None:
    times = pd.to_datetime(["2026-01-01", "2026-01-03", "2026-01-02"] * 2, utc=True)
    trained = TrainedOn.of(ROWS.assign(at=times), FEATURES, "who", "at")
    trained.write(tmp_path / "keys.parquet")
    read = TrainedOn.read(tmp_path / "keys.parquet")
    assert (read.columns, read.rows, read.last_event_time) == (("n", "word"), 6, datetime(2026, 1, 3, tzinfo=UTC))
    for kind in ("exact", "rounded", "entity"):
        assert np.array_equal(getattr(read, kind), getattr(trained, kind))
        assert np.isin(getattr(row_keys(ROWS, FEATURES, "who"), kind), getattr(read, kind)).all()


def test_without_entity_and_time_both_are_unknown(tmp_path: Path) -> None:
    TrainedOn.of(ROWS, FEATURES).write(tmp_path / "keys.parquet")
    read = TrainedOn.read(tmp_path / "keys.parquet")
    assert read.entity is None and read.last_event_time is None


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="columns \\['other'\\] are missing; there are \\['n', 'who', 'word'\\]"):
        row_keys(ROWS, ["n", "other"])


@pytest.mark.parametrize("content", [b"", b"PAR1nothing"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"keys\.parquet holds no keys of training rows"):
        TrainedOn.read(tmp_path / "keys.parquet")
    ROWS.to_parquet(tmp_path / "keys.parquet")
    with pytest.raises(ValueError, match="holds no keys"):
        TrainedOn.read(tmp_path / "keys.parquet")
