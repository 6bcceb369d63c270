"""A real MLflow server for tests, that can be stopped and started again on the same data."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from chassis.processes.launcher import Process
from support.processes import end, free_port, spawn
from support.waiting import eventually


class MlflowServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: Process | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "chassis.processes.mlflow_server"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._folder / "artifacts")),
        ]
        self._process = spawn(
            command,
            {"MLFLOW_TRACKING_URI": "", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            self._folder / "mlflow.log",
        )

    def await_ready(self) -> None:
        eventually(self._answers, timeout=90)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"MLflow did not start: {self.log()}")
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log(self) -> str:
        path = self._folder / "mlflow.log"
        return path.read_text()[-3000:] if path.exists() else ""
