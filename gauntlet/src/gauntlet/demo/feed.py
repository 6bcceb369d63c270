"""Rows to send, from the examples: a subprocess prints them, since the command line imports no recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gauntlet.demo.checks import StepFailed

FIRST_ROW_SECONDS = 60.0


@dataclass(frozen=True)
class Row:
    """A row to send, and its label, which is known only later."""

    sent: Mapping[str, Any]
    label: int


class Feed:
    """The rows of one window in order; when used up they start over, which is counted."""

    def __init__(self, example: str, window: str, environment: Mapping[str, str]) -> None:
        self.window = window
        self.rounds = 0
        self._command = [sys.executable, "-m", "examples.rows", example, window]
        self._environment = {**os.environ, **environment}
        self._lines: list[bytes] = []
        self._next = 0
        self._complete = False
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process

    def start(self) -> None:
        """Start loading and return at once; rows arrive within seconds."""
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said
        )
        threading.Thread(target=self._read, args=(self._process,), name="feed", daemon=True).start()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def peek(self, count: int) -> list[Row]:
        """Return the first rows, without using them up. Raises StepFailed when there are none."""
        return [_row(line) for line in self._wait(0, count)]

    def take(self, count: int) -> list[Row]:
        """Return the next rows. Raises StepFailed when there are none."""
        lines = self._wait(self._next, count)
        if not lines:
            self.rounds, self._next = self.rounds + 1, 0
            lines = self._wait(0, count)
        self._next += len(lines)
        return [_row(line) for line in lines]

    def _wait(self, start: int, count: int) -> list[bytes]:
        deadline = time.monotonic() + FIRST_ROW_SECONDS
        with self._changed:
            while len(self._lines) < start + count and not self._complete:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise StepFailed(f"{' '.join(self._command[1:])} printed no rows within {FIRST_ROW_SECONDS:g} s")
            if not self._lines:
                self._said.seek(0)
                words = self._said.read().decode(errors="replace").strip().splitlines()
                raise StepFailed(
                    f"{' '.join(self._command[1:])} printed no rows: {words[-1] if words else 'no reason'}"
                )
            return self._lines[start : start + count]

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        process.wait()
        with self._changed:
            self._complete = True
            self._changed.notify_all()


def _row(line: bytes) -> Row:
    parsed = json.loads(line)
    return Row(parsed["row"], parsed["label"])
