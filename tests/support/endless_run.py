"""A test that goes on until it is ended from outside. Only `integration/test_ended_early.py` runs it, by its path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.mlflow_server import MlflowServer
from support.processes import free_port, running
from support.waiting import eventually


def test_that_does_not_end(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "DATA_DIR": str(tmp_path),
        "SERVING_PORT": str(free_port()),
    }
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    with running([sys.executable, "-m", "serving"], env, tmp_path / "serving.log"):
        subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
        Path(os.environ["ENDLESS_RUN_STARTED"]).touch()
        eventually(lambda: False, timeout=3600)
