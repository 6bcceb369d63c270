"""A test run that is ended in the middle leaves no process behind: MLflow, a service, nor what ignores SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from gauntlet.processes import marked
from support.processes import spawn
from support.waiting import eventually

TESTS = Path(__file__).parents[1]
MARK = "ENDED_EARLY"


@pytest.mark.parametrize(
    ("sign", "workers"),
    [
        pytest.param(signal.SIGTERM, 2, id="SIGTERM to two workers"),
        pytest.param(signal.SIGKILL, 0, id="SIGKILL"),
        pytest.param(signal.SIGTERM, 0, id="SIGTERM", marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGINT, 2, id="SIGINT to two workers", marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGKILL, 2, id="SIGKILL to two workers", marks=pytest.mark.exhaustive),
    ],
)
def test_a_run_that_is_ended_leaves_no_process_behind(sign: signal.Signals, workers: int, tmp_path: Path) -> None:
    run, started, log = uuid4().hex, tmp_path / "started", tmp_path / "run.log"
    endless = [str(TESTS / "support" / "endless_run.py"), "-n", str(workers), "--basetemp", str(tmp_path / "temp")]
    command = [sys.executable, "-m", "pytest", *endless]
    pytest_process = spawn(command, {MARK: run, "ENDLESS_RUN_STARTED": str(started)}, log, TESTS.parent)
    try:
        eventually(lambda: started.exists() or pytest_process.poll() is not None, timeout=90)
        names = {" ".join(psutil.Process(pid).cmdline()) for pid in marked(MARK, run)}
        for part in ("mlflow", "serving", "SIG_IGN"):
            assert any(part in name for name in names), log.read_text()
        os.kill(pytest_process.pid, sign)
        pytest_process.wait(60)
        eventually(lambda: not marked(MARK, run), timeout=30)
    finally:
        for pid in marked(MARK, run):
            os.kill(pid, signal.SIGKILL)
