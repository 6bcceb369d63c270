"""The outer end of the template: starts it, has it run one child at a time, and ends a child with all it started."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from chassis.errors import GauntletError, Transient
from gatekeeper.sandbox.template import ENDED, READY, REAP

POLL_SECONDS = 0.02
START_SECONDS = 120.0
KEPT_OUTPUT = 8 * 1024


class Cancelled(GauntletError):
    """The probe was ended because nobody wants its result any more."""


class SandboxBroken(Transient):
    """The sandbox itself does not work, at the moment; that says nothing about the candidate, which waits."""


class Template:
    """The process that children are forked from. After an error it is not to be used again."""

    def __init__(self, home: Path) -> None:
        self._mark = f"GAUNTLET_PROBE={uuid4().hex}"
        self._received = b""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "gatekeeper.sandbox.template", str(theirs.fileno())],
                cwd=home,
                env=_environment(home, self._mark),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        if self._line(START_SECONDS) != READY:
            self.close()
            raise SandboxBroken("the sandbox did not start; its error is in this service's log")

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()

    def run(self, scratch: Path, seconds: float, cancelled: threading.Event) -> tuple[str | None, str]:
        """Run one child. Returns what ended it before its own end, if anything, and the tail of its output.

        Raises Cancelled or SandboxBroken.
        """
        output, child = self._start(scratch)
        try:
            too_late = self._wait(seconds, cancelled)
        finally:
            self._end(child)
        answer = self._line(START_SECONDS) if too_late else ENDED
        if answer != ENDED:
            return "killed the process that watches it", output.text()
        self._control.sendall(REAP)
        code = int(self._line(START_SECONDS) or 0)
        if too_late:
            return f"did not end within {seconds:g} s", output.text()
        if code < 0:
            hint = " (out of memory or CPU time)" if -code in (signal.SIGKILL, signal.SIGXCPU) else ""
            return f"was killed by signal {-code}{hint}", output.text()
        return f"exited with code {code}" if code else None, output.text()

    def _start(self, scratch: Path) -> tuple[Tail, int]:
        reading, writing = os.pipe()
        try:
            socket.send_fds(self._control, [str(scratch).encode()], [writing])
        except OSError as error:
            os.close(reading)
            raise SandboxBroken(f"the sandbox's template is gone: {error}") from error
        finally:
            os.close(writing)
        return Tail(reading), int(self._line(START_SECONDS) or 0)

    def _wait(self, seconds: float, cancelled: threading.Event) -> bool:
        """Until the child has ended; True when it had to be given up."""
        deadline = time.monotonic() + seconds
        while self._line(POLL_SECONDS) is None:
            if cancelled.is_set():
                raise Cancelled("the probe was cancelled")
            if time.monotonic() > deadline:
                return True
        return False

    def _line(self, seconds: float) -> bytes | None:
        """The template's next line; None when there is none yet. Raises SandboxBroken when it is gone."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = self._control.recv(4096)
            if not chunk:
                raise SandboxBroken("the sandbox's template has died")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line + b"\n"

    def _end(self, child: int) -> None:
        """Kill the child's group, and (Linux) whatever else carries our mark but the template."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for escaped in _carrying(self._mark.encode(), but=(child, self._process.pid)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(escaped, signal.SIGKILL)


class Tail:
    """Drains a pipe in a thread and keeps its last bytes, so that a flood of output costs nothing."""

    def __init__(self, handle: int) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(handle,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(1.0)  # who escaped may hold the pipe open; its words do not matter
        return self._kept.decode(errors="replace").replace("\x00", "")

    def _read(self, handle: int) -> None:
        with os.fdopen(handle, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65536):
                self._kept = (self._kept + chunk)[-KEPT_OUTPUT:]


def _environment(home: Path, mark: str) -> dict[str, str]:
    """Nothing is inherited but the way to programs: credentials live in environments."""
    name, _, token = mark.partition("=")
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GAUNTLET_PARENT": str(os.getpid()),
        name: token,
        **one_thread,
    }


def _carrying(mark: bytes, but: tuple[int, ...]) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(folder.name) not in but and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
