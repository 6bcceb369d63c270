"""`python -m chassis.processes.mlflow_server …` is `mlflow server … --workers 1` in one process instead of two.

MLflow's command imports all of MLflow, starts `python -m uvicorn`, which imports it again, and waits for that.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

UVICORN = [sys.executable, "-m", "uvicorn"]


def main(arguments: Sequence[str]) -> None:
    """Run until SIGTERM. `arguments` are those of `mlflow server`."""
    from mlflow import server
    from mlflow.cli import cli

    start = getattr(server, "_exec_cmd", None)

    def here(command: Sequence[Any], *, extra_env: Mapping[str, str], **options: Any) -> Any:
        if list(command[:3]) != UVICORN:  # an MLflow that starts something else does so in its own way
            assert start is not None
            return start(command, extra_env=extra_env, **options)
        os.environ.update(extra_env)
        sys.argv = ["uvicorn", *map(str, command[3:])]
        return runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)

    if start is not None:
        setattr(server, "_exec_cmd", here)  # noqa: B010  # not part of MLflow's interface, so it may be missing
    cli(["server", *arguments, "--workers", "1"], prog_name="mlflow")


if __name__ == "__main__":
    main(sys.argv[1:])
