"""One training process: started in its own group, followed, and ended with everything that it started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from chassis.processes.launcher import Process, start
from trainer.spec import Progress, TrainingReport, TrainingSpec

QUIET_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads spin while they wait. On busy cores that costs a boosted tree of 50,000 rows 10 s instead of 1.3."""

TAIL_BYTES = 8_000
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Ended:
    """How a process ended. `status` is None when it was ended from here."""

    status: int | None
    report: TrainingReport | None


class TrainingProcess:
    """`python -m trainer.training.child` on one spec; its files are in the spec's work folder."""

    def __init__(self, spec: TrainingSpec, recipe_path: str = "") -> None:
        self._spec = spec
        self._recipe_path = recipe_path
        self._result = spec.work_dir / "result.json"
        self._log = spec.work_dir / "log.txt"

    def run(self, *, seconds: float, cancelled: threading.Event, on_progress: Callable[[Progress], None]) -> Ended:
        """Run to the end, or end it: after `seconds`, or soon after `cancelled` is set."""
        spec_file = self._spec.work_dir / "spec.json"
        spec_file.write_text(self._spec.model_dump_json())
        self._result.unlink(missing_ok=True)
        deadline = time.monotonic() + seconds
        with self._process(spec_file) as (process, lines):
            while True:
                with contextlib.suppress(queue.Empty):
                    if (line := lines.get(timeout=LOOK_SECONDS)) is None:
                        break  # standard output is closed: the process ends now
                    on_progress(line)
                if cancelled.is_set() or time.monotonic() > deadline:
                    return Ended(None, None)
            return Ended(process.wait(), self._report())

    def log_tail(self) -> str:
        """Return the last few thousand characters of the log."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - TAIL_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    @contextlib.contextmanager
    def _process(self, spec_file: Path) -> Iterator[tuple[Process, queue.Queue[Progress | None]]]:
        with self._log.open("wb") as log:
            process = start(
                [sys.executable, "-m", "trainer.training.child", str(spec_file), str(self._result)],
                stdin=subprocess.PIPE,  # held open: the child ends when it closes
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
            )
        try:
            assert process.stdout is not None
            lines: queue.Queue[Progress | None] = queue.Queue()
            threading.Thread(target=_read, args=(process.stdout, lines), daemon=True, name="training").start()
            yield process, lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _environment(self) -> dict[str, str]:
        paths = [path for path in (self._recipe_path, os.environ.get("PYTHONPATH", "")) if path]
        own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return {**QUIET_WAITING, **os.environ, **own}

    def _report(self) -> TrainingReport | None:
        try:
            return TrainingReport.model_validate_json(self._result.read_text())
        except (FileNotFoundError, ValidationError):
            return None  # it died before it wrote its report


def _read(output: IO[bytes], lines: queue.Queue[Progress | None]) -> None:
    with contextlib.suppress(ValueError):  # closed from the other side
        for line in output:
            with contextlib.suppress(ValidationError, json.JSONDecodeError):
                lines.put(Progress.model_validate_json(line))
    lines.put(None)
