"""The command line for tests of a local stack: ports that are free, and `up` as a process of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded_kafka.probe import taken
from gauntlet.processes import is_running
from gauntlet.stack_config import offset_ports
from gauntlet.stack_file import StackState
from support.cli import Ended

POLICIES = Path(__file__).parents[2] / "policies"
EVERYTHING = {"mlflow", "kafka", "trainer", "gatekeeper", "drift", "serving", "staging"}


def up(*arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """`gauntlet up ARGUMENTS` to its end; its output must never be a traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "gauntlet", "up", *arguments],
        env={**os.environ, "POLICIES_DIR": str(POLICIES), "COLUMNS": "300", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def free_offset() -> str:
    while True:
        offset = random.randrange(1_000, 20_000)
        if not any(taken(port) for port in offset_ports(offset).values()):
            return str(offset)


def alive(state: StackState) -> dict[str, int]:
    return {part.name: part.pid for part in state.parts if part.pid and is_running(part.pid, part.process_started)}
