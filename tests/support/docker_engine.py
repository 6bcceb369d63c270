"""Whether a Docker engine answers here, and a compose project of one's own on it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pytest

from support.processes import free_port

REPOSITORY = Path(__file__).parents[2]
PORTS = ("KAFKA", "MLFLOW", "TRAINER", "GATEKEEPER", "DRIFT", "SERVING", "STAGING")


@lru_cache
def problem() -> str | None:
    """Why no test can use Docker here; None when it answers."""
    for command in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except FileNotFoundError:
            return "there is no docker command here"
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` did not answer within 20 s"
        if done.returncode != 0:
            return f"`{' '.join(command)}`: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    return None


def require() -> None:
    if (why := problem()) is not None:
        pytest.skip(f"no Docker engine answers: {why}")


@dataclass
class Compose:
    """docker-compose.yml under a name and ports of its own, so that it may run beside another one."""

    project: str = field(default_factory=lambda: f"gauntlet-test-{uuid4().hex[:8]}")
    settings: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})

    def __call__(self, *arguments: str, timeout: float = 600) -> str:
        """Run `docker compose`; raises AssertionError with what it printed when it fails."""
        own = {"GAUNTLET_TAG": "test", **{f"{name}_PORT": str(port) for name, port in self.ports.items()}}
        command = ["docker", "compose", "--project-name", self.project, "--progress", "plain", *arguments]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **own, **self.settings},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"`{' '.join(command)}` ended with {done.returncode}:\n{said[-6000:]}"
        return done.stdout

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"
