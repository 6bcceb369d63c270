"""Processes that tests start: on free ports, with their output kept, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from chassis.processes.launcher import Process, start

PARTITIONS = 3
"""Of each topic: a broker takes milliseconds of work for each, and tests make thousands. The product's default is 6."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[Process]:
    """Run `command` in a group of its own with `env` added; its whole group is ended afterwards."""
    process = spawn(command, env, log)
    try:
        yield process
    finally:
        end(process)


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path, folder: Path | None = None) -> Process:
    """Start `command` in a group of its own with `env` added, in `folder`; its output is appended to `log`.

    Python is forked from a warm process where the test run has one (see conftest.py).
    """
    with log.open("ab") as output:
        return start(
            command,
            env={"KAFKA_PARTITIONS": str(PARTITIONS), **os.environ, **env},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def kill(process: Process) -> None:
    """As `kill -9` of the process and of what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)


def end(process: Process) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            pass
    kill(process)
