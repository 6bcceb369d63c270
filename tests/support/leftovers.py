"""Ends what a test run has started, however the run ends: by SIGTERM, by Ctrl-C, or by `kill -9` of pytest.

Whatever a run starts inherits a mark in its environment: in any session, through any number of parents. A keeper, in a
session of its own, waits for the end of pytest; then it ends all that has the mark, and what descends from that. A run
that ends as it should has left nothing, and the keeper only looks.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from uuid import uuid4

import psutil

MARK = "GAUNTLET_TEST_RUN"
GRACE_SECONDS = 3.0
"""Between SIGTERM and SIGKILL: nobody reads any more what a process might still write."""


def end_with_this_process() -> None:
    """Mark what this process starts from now on, and have it ended when this process is gone."""
    os.environ[MARK] = uuid4().hex
    keeper = [sys.executable, __file__, str(os.getpid()), os.environ[MARK]]
    subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True)


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this run as Ctrl-C does: fixtures end what they started.

    Ctrl-C itself is made to work, too: a shell that starts a run in the background has it ignored, by all children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pytest_process = os.getpid()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == pytest_process:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a fork of pytest, which has no fixtures to end
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, interrupt)


def keep(parent: int, mark: str) -> None:
    """Wait for the end of process `parent`, then end what has the mark."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A fork of pytest holds the pipe open as well: the parent's number tells what the pipe then does not.
    while os.getppid() == parent and not select.select([sys.stdin], [], [], 0.5)[0]:
        pass
    left = found(mark)
    with suppress(OSError):  # whoever read the output of the run may be gone
        for process in left:
            with suppress(psutil.Error):
                print(f"left behind by the tests: {process.pid} {' '.join(process.cmdline())[:100]}", flush=True)  # noqa: T201
    end(left)
    while left := found(mark):  # what was started meanwhile
        end(left, grace=0)


def found(mark: str) -> set[psutil.Process]:
    """What has the mark and what descends from it. What is dead and not yet waited for has no environment."""
    marked: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                marked.update([process, *process.children(recursive=True)])
    return marked


def end(processes: Iterable[psutil.Process], grace: float = GRACE_SECONDS) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, grace)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, GRACE_SECONDS)


if __name__ == "__main__":
    keep(int(sys.argv[1]), sys.argv[2])
