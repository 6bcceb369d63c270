"""A serving replica as a process of its own, and what a client sees of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from chassis.processes.launcher import Process
from support.processes import end, free_port, kill, spawn
from support.waiting import eventually


@dataclass
class Replica:
    bootstrap_servers: str
    prefix: str
    tracking_uri: str
    folder: Path
    role: str = "production"
    env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: Process | None = None

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    @property
    def log(self) -> Path:
        return self.folder / f"serving-{self.role}-{self.port}.log"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TOPIC_PREFIX": self.prefix,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "DATA_DIR": str(self.folder),
            "SERVING_ROLE": self.role,
            "SERVING_PORT": str(self.port),
            "SERVING_REPLICA": f"replica-{self.port}",
            **self.env,
        }
        self.process = spawn([sys.executable, "-m", "serving"], env, self.log)

    def start_ready(self) -> None:
        self.start()
        eventually(self.ready, timeout=90)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None:
            end(self.process)

    def kill(self) -> None:
        if self.process is not None:
            kill(self.process)

    def ready(self) -> bool:
        return self._status("/ready") == 200

    def alive(self) -> bool:
        return self._status("/health") == 200

    def not_ready_because(self) -> str:
        return str(self.client.get("/ready").json()["failing"])

    def predict(self, *rows: Any, model: str | None = None, **options: Any) -> httpx.Response:
        path = f"/models/{model}/predict" if model else "/predict"
        return self.client.post(path, json={"rows": list(rows)}, **options)

    def model(self, model_name: str) -> dict[str, Any]:
        models = self.client.get("/models").json()["models"]
        return next((model for model in models if model["model_name"] == model_name), {})

    def answers_with(self, model_name: str, model_version: int, epoch: int | None = None) -> bool:
        about = self.model(model_name)
        return about.get("model_version") == model_version and about.get("epoch") == epoch

    def rollout(self, model_name: str) -> dict[str, Any]:
        """What it shows of the model's rollout; empty outside of one."""
        return self.model(model_name).get("rollout") or {}

    def tries(self, model_name: str, model_version: int, step: int) -> bool:
        about = self.rollout(model_name)
        return about.get("since") is not None and (about["model_version"], about["step"]) == (model_version, step)

    def hosts(self) -> list[psutil.Process]:
        """The processes of its models; they are no children of it where they were forked."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "serving.inference.model_host" in command and any(str(self.folder) in part for part in command):
                found.append(process)
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))

    def _status(self, path: str) -> int:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0
