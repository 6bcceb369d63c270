"""`python -m chassis.processes.mlflow_server …` is `mlflow server … --workers 1`, started with a third of the work.

MLflow's command imports all of MLflow, starts `python -m uvicorn`, which imports it again, and waits for it: here one
process does both. And MLflow runs fifty migrations on each new database: here a new SQLite database is copied from an
empty one, created once per user and MLflow version.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

STORE = "--backend-store-uri"
SQLITE = "sqlite:///"
UVICORN = [sys.executable, "-m", "uvicorn"]


def main(arguments: Sequence[str]) -> None:
    """Run until SIGTERM. `arguments` are those of `mlflow server`."""
    from mlflow import server
    from mlflow.cli import cli

    if STORE in arguments[:-1]:
        prepare(arguments[arguments.index(STORE) + 1])
    start = getattr(server, "_exec_cmd", None)

    def here(command: Sequence[Any], *, extra_env: Mapping[str, str], **options: Any) -> Any:
        if list(command[:3]) != UVICORN:  # an MLflow version that starts something else: leave it alone
            assert start is not None
            return start(command, extra_env=extra_env, **options)
        os.environ.update(extra_env)
        sys.argv = ["uvicorn", *map(str, command[3:])]
        return runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)

    if start is not None:
        setattr(server, "_exec_cmd", here)  # noqa: B010  # not part of MLflow's interface, so it may be missing
    cli(["server", *arguments, "--workers", "1"], prog_name="mlflow")


def prepare(store: str, cache: Path | None = None) -> bool:
    """Create an empty database for a SQLite `store` that has none. Returns whether it did.

    Only an optimisation: if it fails, MLflow creates the database itself.
    """
    path = Path(store.removeprefix(SQLITE))
    if not store.startswith(SQLITE) or path.exists():
        return False
    folder = cache or user_cache_path("gauntlet")
    prepared = folder / f"mlflow-{version('mlflow')}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(prepared.with_suffix(".lock")):
            if not prepared.exists():
                _make(prepared)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        shutil.copyfile(prepared, unfinished)
        unfinished.replace(path)
    except Exception as error:  # a full disk, or an MLflow version that creates its tables differently
        print(f"no prepared database for MLflow ({type(error).__name__}: {error})", file=sys.stderr)  # noqa: T201
        return False
    return True


def _make(prepared: Path) -> None:
    """Create empty tables: without even MLflow's default experiment, which stores the artifact location."""
    from mlflow.store.db.utils import _safe_initialize_tables
    from mlflow.store.tracking.dbmodels import models  # noqa: F401  # its tables are known once it is imported
    from sqlalchemy import create_engine

    with tempfile.TemporaryDirectory(prefix="gauntlet-mlflow-", dir=prepared.parent) as folder:
        unfinished = Path(folder) / "mlflow.db"
        engine = create_engine(f"{SQLITE}{unfinished}")
        _safe_initialize_tables(engine)
        engine.dispose()
        unfinished.replace(prepared)


if __name__ == "__main__":
    main(sys.argv[1:])
