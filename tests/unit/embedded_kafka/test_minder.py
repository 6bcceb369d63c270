"""The minder: its child lives as long as the pipe, whatever happens to the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil

from embedded_kafka import minder
from support.waiting import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def start(command: list[str]) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, minder.__file__, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_child_ends_when_the_pipe_is_closed() -> None:
    process, child = start(SLEEP)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert gone(child)


def test_the_child_ends_when_the_parent_is_killed() -> None:
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, {minder.__file__!r}, *{SLEEP!r}],\n"
        "                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    eventually(lambda: gone(child), timeout=15)


def test_the_childs_exit_code_is_the_minders() -> None:
    process, _ = start([sys.executable, "-c", "raise SystemExit(7)"])
    assert process.wait(10) == 7
