"""Gatekeeper services for tests: real processes, one or more on one database and one group."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from chassis.processes.launcher import Process
from support.processes import end, free_port, spawn
from support.waiting import eventually

TESTS = Path(__file__).parents[1]

POLICY = {
    "metric": "roc_auc",
    "entity": "who",
    "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.6}}},
    "sandbox": {"seconds": 60, "memory_mb": 1024},
}

TIMED = {"latency": {"p95_ms": 2000, "load_seconds": 120}}
"""For the gates of a policy under test: to time a model takes longer than all the rest of a verdict."""

ONE_SECOND = httpx.Limits(keepalive_expiry=1)
"""How long a connection is kept: a service closes its side after five."""

NameOf = Callable[[str], str]


@dataclass
class Gatekeepers:
    bootstrap_servers: str
    prefix: str
    database_url: str
    tracking_uri: str
    folder: Path
    processes: list[Process] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    """Of models that no test has used yet, by policy."""
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False, limits=ONE_SECOND))
    """Kept: to make one costs more than twenty requests."""

    def policy(self, model_name: str, **changes: Any) -> None:
        """A policy for this model; gatekeepers that run already take it up within seconds."""
        folder = self.folder / "policies"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{model_name}.yaml").write_text(yaml.safe_dump({"model": model_name, **POLICY, **changes}))

    def start(self, *, dying_at: str | None = None, **settings: str) -> Process:
        (self.folder / "policies").mkdir(parents=True, exist_ok=True)
        port = free_port()
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "POLICIES_DIR": str(self.folder / "policies"),
            "DATA_DIR": str(self.folder / "data"),
            "GATEKEEPER_PORT": str(port),
            "GATEKEEPER_LEASE_SECONDS": "3",
            "GATEKEEPER_TIMING_SECONDS": "2",
            "GATEKEEPER_PROVES_FORM": "false",
            "GATEKEEPER_RECONCILE_SECONDS": "1",
            "GATEKEEPER_RECONCILE_GRACE_SECONDS": "600",
            **settings,
        }
        command = ["gatekeeper"]
        if dying_at:
            env["PYTHONPATH"] = str(TESTS)
            command = ["support.crash", dying_at, str(self.folder / f"died-{port}"), "gatekeeper.app"]
        process = spawn([sys.executable, "-m", *command], env, self.folder / "gatekeeper.log")
        self.processes.append(process)
        self.ports.append(port)
        return process

    def start_ready(self, *, dying_at: str | None = None, **settings: str) -> Process:
        process = self.start(dying_at=dying_at, **settings)
        eventually(self.ready, timeout=90)
        return process

    def ready(self) -> bool:
        assert self.processes[-1].poll() is None, self.log()
        try:
            return self.client.get(f"{self.url()}/ready", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def url(self, number: int = -1) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    def get(self, path: str, number: int = -1) -> Any:
        answer = self.client.get(f"{self.url(number)}{path}")
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Any = None, number: int = -1, **options: Any) -> httpx.Response:
        return self.client.post(f"{self.url(number)}{path}", json=body, **options)

    def candidate(self, model_name: str, model_version: int, number: int = -1) -> Any:
        return self.get(f"/models/{model_name}/candidates/{model_version}", number)

    def judged(self, model_name: str, model_version: int, timeout: float = 60, number: int = -1) -> Any:
        """The candidate, once it has a verdict."""

        def found() -> Any:
            candidate = self.candidate(model_name, model_version, number)
            return candidate if candidate["judged_at"] else None

        return eventually(found, timeout=timeout)

    def champion(self, model_name: str, number: int = -1) -> int | None:
        champion = self.get(f"/models/{model_name}", number)["champion"]
        return champion["model_version"] if champion else None

    def log(self) -> str:
        path = self.folder / "gatekeeper.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:  # else its number may by now be another process's
                end(process)
