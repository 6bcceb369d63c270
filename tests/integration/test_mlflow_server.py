"""MLflow's server as a stack starts it: one process, on a database that was prepared."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from chassis.processes.mlflow_server import prepare
from support.mlflow_server import MlflowServer


def schema(path: Path) -> dict[str, list[str]]:
    """Definitions by name; the constraints of a table come in another order whenever MLflow makes it."""
    with sqlite3.connect(path) as connection:
        version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {"version": list(version)} | {
        name: sorted(line.strip(" ,\t") for line in sql.split("\n")) for name, sql in found
    }


def test_a_prepared_database_is_what_mlflow_makes_itself_and_empty(tmp_path: Path) -> None:
    own, prepared = tmp_path / "own.db", tmp_path / "prepared.db"
    SqlAlchemyStore(f"sqlite:///{own}", "mlflow-artifacts:/")
    assert prepare(f"sqlite:///{prepared}", cache=tmp_path / "cache")
    assert schema(prepared) == schema(own)
    with sqlite3.connect(prepared) as connection:
        assert connection.execute("SELECT count(*) FROM experiments").fetchone() == (0,)
    again = tmp_path / "again.db"
    assert prepare(f"sqlite:///{again}", cache=tmp_path / "cache")
    assert again.read_bytes() == prepared.read_bytes()


def test_a_database_that_is_there_or_no_file_is_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_bytes(b"mine")
    assert not prepare(f"sqlite:///{there}", cache=tmp_path / "cache")
    assert there.read_bytes() == b"mine"
    assert not prepare("postgresql://somewhere/mlflow", cache=tmp_path / "cache")


def test_what_cannot_be_prepared_is_left_to_mlflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert not prepare(f"sqlite:///{tmp_path / 'new.db'}", cache=tmp_path / "cache")
    assert "no prepared database for MLflow (FileExistsError" in capsys.readouterr().err
    assert not (tmp_path / "new.db").exists()


def test_the_server_is_one_process_and_stores_artifacts_where_it_was_told(tmp_path: Path) -> None:
    server = MlflowServer(tmp_path)
    server.start()
    try:
        assert server.pid is not None
        assert psutil.Process(server.pid).children() == []
        client = MlflowClient(server.uri)
        assert client.get_experiment("0").artifact_location == "mlflow-artifacts:/0"
        run = client.create_run("0")
        client.log_text(run.info.run_id, "text", "file.txt")
        assert [path.read_text() for path in (tmp_path / "artifacts").rglob("file.txt")] == ["text"]
    finally:
        server.stop()
