"""Trainer services for tests: real processes on one database and one group, with the tiny recipes."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from chassis.processes.launcher import Process
from support.processes import end, free_port, spawn

TESTS = Path(__file__).parents[1]
RECIPES = "support.tiny_recipe"


@dataclass
class Trainers:
    """One or more trainers. Model names carry a suffix of their own: MLflow is shared between tests."""

    bootstrap_servers: str
    prefix: str
    database_url: str
    tracking_uri: str
    folder: Path
    suffix: str = field(default_factory=lambda: uuid4().hex[:8])
    processes: list[Process] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def model(self, name: str, **policy: Any) -> str:
        """The model `name` of this test, with a policy; a `recipe` without a module is one of the tiny ones."""
        full = f"{name}-{self.suffix}"
        if "recipe" in policy and ":" not in policy["recipe"]:
            policy["recipe"] = f"{RECIPES}:{policy['recipe']}"
        self.policies.mkdir(parents=True, exist_ok=True)
        (self.policies / f"{name}.yaml").write_text(yaml.safe_dump({"model": full, **policy}))
        return full

    @property
    def policies(self) -> Path:
        return self.folder / "policies"

    @property
    def gate(self) -> Path:
        """Gated recipes train while this file exists."""
        return self.folder / "gate"

    def trained_by(self) -> list[int]:
        """The process of each training there was."""
        log = self.folder / "trained"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def start(self, *, dying_at: str | None = None, **settings: str) -> Process:
        port = free_port()
        self.policies.mkdir(parents=True, exist_ok=True)
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "POLICIES_DIR": str(self.policies),
            "DATA_DIR": str(self.folder / f"data-{len(self.processes)}"),
            "TRAINER_PORT": str(port),
            "TRAINER_RECIPE_PATH": str(TESTS),
            "TINY_LOG": str(self.folder / "trained"),
            "TINY_GATE": str(self.gate),
            **settings,
        }
        command = ["trainer"]
        if dying_at:
            env["PYTHONPATH"] = str(TESTS)
            command = ["support.crash", dying_at, str(self.folder / "died"), "trainer.app"]
        process = spawn([sys.executable, "-m", *command], env, self.folder / "trainer.log")
        self.processes.append(process)
        self.ports.append(port)
        return process

    def get(self, path: str, number: int = -1) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[number]}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ready(self, number: int = -1) -> bool:
        try:
            return self.get("/ready", number)[0] == 200
        except OSError:
            return False

    def jobs(self, model: str) -> list[dict[str, Any]]:
        """This model's jobs, newest first, from the newest trainer."""
        found: list[dict[str, Any]] = self.get(f"/jobs?model={model}")[1]
        return found

    def log(self) -> str:
        return (self.folder / "trainer.log").read_text()[-4000:]

    def stop(self) -> None:
        for process in self.processes:
            end(process)
