"""A pid is not an identity; ending processes ends those that were meant."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gauntlet.processes import end, is_running, listener, marked, started
from support.processes import free_port
from support.waiting import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        SLEEP, env={**os.environ, "GAUNTLET_TEST_MARK": str(os.getpid())}, start_new_session=True
    )
    yield process
    process.kill()
    process.wait()


def test_a_process_is_itself_and_not_one_that_started_at_another_time(sleeper: subprocess.Popen[bytes]) -> None:
    born = started(sleeper.pid)
    assert born is not None
    assert is_running(sleeper.pid, born)
    assert not is_running(sleeper.pid, born - 60)
    assert not is_running(None, born)


def test_a_zombie_does_not_run(sleeper: subprocess.Popen[bytes]) -> None:
    born = started(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    eventually(lambda: not is_running(sleeper.pid, born))


def test_marked_processes_are_found_by_their_environment(sleeper: subprocess.Popen[bytes]) -> None:
    eventually(lambda: marked("GAUNTLET_TEST_MARK", str(os.getpid())) == [sleeper.pid])
    assert marked("GAUNTLET_TEST_MARK", "somebody else") == []


def test_end_ends_the_process_and_nobody_else(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as other:
        end([sleeper.pid], timeout=10)
        assert sleeper.wait(10) == -signal.SIGTERM
        assert other.poll() is None
        other.kill()


def test_who_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert f"(pid {os.getpid()})" in (listener(server.getsockname()[1]) or "")
    assert listener(free_port()) is None
