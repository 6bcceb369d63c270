"""`gauntlet predict` against a real serving replica: whole files in and out, bad rows by name, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.cli import gauntlet, ok
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads, pipeline, score_of
from support.waiting import eventually

ROWS = 250
PREDICTED = ["predicted_label", "predicted_score", "model_version", "request_id", "request_row"]


@pytest.fixture(scope="module")
def replica(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    """Serves `flights` (each answer tells the version: 7) and `picky`, which fails on missing numbers."""
    prefix = "cli-predict."
    replica = Replica(kafka.bootstrap_servers, prefix, mlflow_server.uri, tmp_path_factory.mktemp("serving"))
    replica.env = {"SERVING_MAX_BODY_BYTES": "8000"}
    try:
        replica.start_ready()
        bus = BusClient(kafka.bootstrap_servers, prefix)
        uploads = Uploads(mlflow_server.uri)
        bus.publish(uploads.version("flights", 7).promoted(1))
        bus.publish(uploads.version("picky", 1, pipeline()).promoted(1))
        bus.close()
        eventually(lambda: replica.answers_with("flights", 7, 1) and replica.answers_with("picky", 1, 1), timeout=60)
        yield replica
    finally:
        replica.stop()


@pytest.fixture(autouse=True)
def here(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVING_URL", f"http://127.0.0.1:{replica.port}")


def frame(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "distance": random.uniform(100, 3000, rows),
            "carrier": random.choice(["UA", "AA", "NA"], rows),
            "tailnum": [f"N{number}" for number in range(rows)],
        }
    )


def write(rows: pd.DataFrame, path: str) -> str:
    if path.endswith(".csv"):
        rows.to_csv(path, index=False)
    elif path.endswith(".parquet"):
        rows.to_parquet(path, index=False)
    else:
        rows.to_json(path, orient="records", lines=True, double_precision=15)
    return path


def read(path: str) -> pd.DataFrame:
    if path.endswith(".csv"):
        return pd.read_csv(path, keep_default_na=False, float_precision="round_trip")
    return pd.read_parquet(path) if path.endswith(".parquet") else pd.read_json(path, lines=True)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_every_row_comes_back_in_order_with_its_prediction(suffix: str) -> None:
    rows = frame()
    source, output = write(rows, f"in.{suffix}"), f"out.{suffix}"
    said = ok("predict", "flights", "--input", source, "--output", output, "--chunk", "40").out
    assert f"{output}: {ROWS} rows scored by flights v7 ({ROWS} rows)" in said
    scored = read(output)
    assert list(scored.columns) == [*rows.columns, *PREDICTED]
    assert list(scored["tailnum"]) == list(rows["tailnum"])
    assert list(scored["carrier"]) == list(rows["carrier"]), "NA is an airline, not a missing value"
    np.testing.assert_array_equal(scored["distance"], rows["distance"])
    assert set(scored["model_version"]) == {7}
    np.testing.assert_allclose(scored["predicted_score"].astype(float), score_of(7))
    assert scored.groupby("request_id")["request_row"].apply(list).map(lambda got: got == list(range(len(got)))).all()
    assert sorted(Path().iterdir()) == [Path(source), Path(output)]


def test_a_bad_row_is_named_by_its_place_in_the_file_and_nothing_is_written() -> None:
    rows = [{"distance": 500.0, "carrier": "UA"} for _ in range(100)]
    rows[73]["distance"] = "far"
    Path("in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("out.jsonl").write_text("from yesterday")
    ended = gauntlet("predict", "flights", "--input", "in.jsonl", "--output", "out.jsonl", "--chunk", "20")
    assert ended.code == 1
    assert 'in.jsonl: row 74, field distance: "far", expected' in ended.err
    assert Path("out.jsonl").read_text() == "from yesterday"
    assert len(list(Path().iterdir())) == 2


def test_a_column_that_the_model_does_not_take_is_named_and_can_be_dropped() -> None:
    source = write(frame().assign(late=1), "in.csv")
    ended = gauntlet("predict", "flights", "--input", source, "--output", "out.csv")
    assert ended.code == 1
    assert "row 1, field late: 1" in ended.err
    assert "--drop" in ended.err
    ok("predict", "flights", "--input", source, "--output", "out.csv", "--drop", "late")
    assert set(read("out.csv")["late"]) == {1}


def test_a_missing_value_that_the_model_cannot_take_is_named() -> None:
    rows = frame()[["distance", "carrier"]]
    rows.loc[30, "distance"] = None
    ended = gauntlet("predict", "picky", "--input", write(rows, "in.csv"), "--output", "out.csv", "--chunk", "20")
    assert ended.code == 1
    assert "row 31, field distance: null" in ended.err
    assert not Path("out.csv").exists()


def test_rows_too_wide_for_one_request_are_sent_in_smaller_parts() -> None:
    source = write(frame(), "in.csv")  # 250 rows are more than the 8,000 bytes that this replica takes
    ok("predict", "flights", "--input", source, "--output", "out.parquet", "--chunk", "250")
    scored = read("out.parquet")
    assert len(scored) == ROWS
    assert scored["request_id"].nunique() > 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--input": "nosuch.csv"}, "there is no file nosuch.csv"),
        ({"--input": "in.txt"}, "'.txt'"),
        ({"--input": "empty.csv"}, "empty.csv"),
        ({"--input": "broken.jsonl"}, "broken.jsonl:2"),
        ({"--input": "list.jsonl"}, "'[1]'"),
        ({"--input": "notparquet.parquet"}, "notparquet.parquet"),
        ({"--input": "infinite.parquet"}, "row 2, field distance: inf"),
        ({"--input": "clash.csv"}, "'model_version'"),
        ({"--output": "in.csv"}, "both in.csv"),
        ({"--output": "nosuch/out.csv"}, "nosuch"),
        ({"--output": "out.xls"}, "'.xls'"),
        ({"--format": "excel"}, "'excel'"),
        ({"--chunk": "none"}, "'none'"),
        ({"--drop": "nosuch"}, "'nosuch'"),
        ({"NAME": "fligths"}, "fligths"),
        ({"NAME": "no/name"}, "'no/name'"),
    ],
)
def test_bad_arguments_are_named_with_their_value(change: dict[str, Any], expected: str) -> None:
    write(frame(3), "in.csv")
    Path("in.txt").write_text("x")
    Path("empty.csv").write_text("distance,carrier\n")
    Path("broken.jsonl").write_text("{}\n{")
    Path("list.jsonl").write_text("[1]")
    Path("notparquet.parquet").write_text("x")
    write(pd.DataFrame({"distance": [1.0, float("inf")], "carrier": ["UA", "UA"]}), "infinite.parquet")
    write(frame(3).assign(model_version=1), "clash.csv")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    options = {"--input": "in.csv", "--output": "out.csv", **change}
    name = options.pop("NAME", "flights")
    ended = gauntlet("predict", name, *(word for option in options.items() for word in option))
    assert ended.code in (1, 2)
    assert expected in " ".join(ended.err.split())
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
