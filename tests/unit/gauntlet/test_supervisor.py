"""The supervisor's patience: real processes that end, and come back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gauntlet.components import ProcessPart
from gauntlet.supervisor import Supervisor
from support.processes import free_port
from support.waiting import eventually

Keep = Callable[[str], Supervisor]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def keep(tmp_path: Path, notes: list[str]) -> Iterator[Keep]:
    """Start a Python program and keep it running."""
    kept: list[Supervisor] = []

    def start(program: str) -> Supervisor:
        port = free_port()
        command = [sys.executable, "-c", program, str(port)]
        part = ProcessPart("program", command, dict(os.environ), port, "/ready", tmp_path / "program.log")
        keeper = Supervisor(part, lambda _name, what: notes.append(what), every=0.1)
        part.start()
        keeper.watch()
        kept.append(keeper)
        return keeper

    yield start
    for keeper in kept:
        keeper.release()
        keeper.part.stop(timeout=5)


def test_a_killed_part_comes_back_with_another_pid_and_it_is_said(keep: Keep, notes: list[str]) -> None:
    keeper = keep("import time; time.sleep(600)")
    first = keeper.part.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: keeper.part.pid not in (None, first))
    assert keeper.restarts == 1
    assert any("ended (SIGKILL)" in note for note in notes)
    assert any(f"started again as pid {keeper.part.pid}" in note for note in notes)


def test_a_part_that_keeps_ending_is_started_less_and_less_often(keep: Keep, notes: list[str]) -> None:
    keeper = keep("raise SystemExit(3)")
    eventually(lambda: keeper.restarts >= 3)
    waits = [note.split(" in ")[1].split(" s")[0] for note in notes if note.startswith("ended (exit code 3)")]
    assert waits[:3] == ["0.25", "0.5", "1"]


def test_a_released_part_stays_down(keep: Keep) -> None:
    keeper = keep("import time; time.sleep(600)")
    keeper.release()
    keeper.part.stop(timeout=5)
    assert keeper.part.pid is None
    assert keeper.restarts == 0


def test_stopping_a_part_ends_what_it_started(keep: Keep, tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    keeper = keep(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child_file)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    child = int(eventually(lambda: child_file.exists() and child_file.read_text()))
    keeper.release()
    keeper.part.stop(timeout=5)
    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])


def test_a_part_that_ignores_sigterm_is_killed(keep: Keep, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    keeper = keep(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(deaf)!r}).touch()\n"
        "time.sleep(600)\n"
    )
    eventually(deaf.exists)
    keeper.release()
    keeper.part.stop(timeout=0.2)
    assert keeper.part.pid is None


SERVES = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_part_that_hangs_is_ended_and_started_again(
    keep: Keep, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by SIGSTOP it keeps its port, and accepts connections."""
    monkeypatch.setattr("gauntlet.components.LIVENESS_SECONDS", 0.5)
    keeper = keep(SERVES)
    first = keeper.part.pid
    assert first is not None
    eventually(lambda: keeper.part.problem() is None)
    os.kill(first, signal.SIGSTOP)
    eventually(lambda: keeper.part.pid not in (None, first) and keeper.part.problem() is None)
    assert keeper.restarts == 1 and any("hangs: no response to 3 checks in a row" in note for note in notes)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_part_that_hangs_for_a_moment_is_left_alone(
    keep: Keep, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gauntlet.components.LIVENESS_SECONDS", 0.5)
    keeper = keep(SERVES)
    first = keeper.part.pid
    assert first is not None
    eventually(lambda: keeper.part.problem() is None)
    for _ in range(3):
        os.kill(first, signal.SIGSTOP)
        eventually(keeper.part.hangs)
        os.kill(first, signal.SIGCONT)
        eventually(lambda: keeper.part.problem() is None)
    assert keeper.part.pid == first and notes == []
