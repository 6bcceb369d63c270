"""The client of the fork server: starts it, runs one child at a time, and ends a child with all its descendants."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chassis.errors import GauntletError, Transient
from chassis.processes.launcher import start
from gatekeeper.sandbox import descendants, disk
from gatekeeper.sandbox.fork_server import ENDED, READY, REAP
from gatekeeper.sandbox.isolation import Isolation

POLL_SECONDS = 0.02
DISK_SECONDS = 0.25
START_SECONDS = 120.0
KEPT_OUTPUT = 8 * 1024


class Cancelled(GauntletError):
    """The probe was ended because its result is no longer needed."""


class SandboxBroken(Transient):
    """The sandbox itself fails temporarily; this is no evidence about the candidate, which waits."""


@dataclass(frozen=True)
class Ended:
    """`by`: why the child ended early or with an error, if it did. `output`: the end of what it printed.

    `peak_mb`: peak memory beyond what the child used before it loaded the model, as measured by the kernel; None if it
    did not reach loading.
    """

    by: str | None
    output: str
    peak_mb: float | None = None


class SandboxForkServer:
    """The process that children are forked from. It must not be used again after an error.

    `isolation` is the tested isolation of its children.
    """

    def __init__(self, home: Path) -> None:
        self._received = b""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = start(
                [sys.executable, "-I", "-B", "-m", "gatekeeper.sandbox.fork_server", str(theirs.fileno())],
                cwd=home,
                env=_environment(home),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                dies_with_client=True,
            )
        try:
            ready = self._line(START_SECONDS) or b""
        except (SandboxBroken, OSError):
            ready = b""
        if not ready.startswith(READY):
            self.close()
            raise SandboxBroken("the sandbox did not start; its error is in this service's log")
        self.isolation = Isolation(**json.loads(ready.removeprefix(READY)))

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()

    def run(self, scratch: Path, seconds: float, disk_bytes: int, cancelled: threading.Event) -> Ended:
        """Run one child until it ends or exceeds its time or disk limit. Raises Cancelled or SandboxBroken."""
        output, child = self._start(scratch)
        try:
            too_much = self._wait(scratch, seconds, disk_bytes, cancelled)
        finally:
            self._end(child)
        answer = self._line(START_SECONDS) if too_much else ENDED
        if answer != ENDED:
            return Ended("killed the process that watches it", output.text())
        self._control.sendall(REAP)
        code, peak, base = (int(number) for number in (self._line(START_SECONDS) or b"0 0 0").split())
        peak_mb = max(0, peak - base) / 1024 if base else None
        return Ended(too_much or _how(code), output.text(), peak_mb)

    def _start(self, scratch: Path) -> tuple[Tail, int]:
        reading, writing = os.pipe()
        try:
            socket.send_fds(self._control, [str(scratch).encode()], [writing])
        except OSError as error:
            os.close(reading)
            raise SandboxBroken(f"the sandbox's fork server is gone: {error}") from error
        finally:
            os.close(writing)
        return Tail(reading), int(self._line(START_SECONDS) or 0)

    def _wait(self, scratch: Path, seconds: float, disk_bytes: int, cancelled: threading.Event) -> str | None:
        """Wait until the child ends. Returns the limit that it exceeded, if any."""
        now = time.monotonic()
        deadline, look_at_disk = now + seconds, now + DISK_SECONDS
        while self._line(POLL_SECONDS) is None:
            if cancelled.is_set():
                raise Cancelled("the probe was cancelled")
            now = time.monotonic()
            if now > deadline:
                return f"did not end within {seconds:g} s"
            if now > look_at_disk:
                if disk.used(scratch, descendants.of(self._process.pid)) > disk_bytes:
                    return f"wrote more than {disk_bytes // 1024**2:,} MiB to disk, or very many files"
                look_at_disk = time.monotonic() + DISK_SECONDS
        return None

    def _line(self, seconds: float) -> bytes | None:
        """Return the fork server's next line; None after `seconds` without one. Raises SandboxBroken if it has died."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = self._control.recv(4096)
            if not chunk:
                raise SandboxBroken("the sandbox's fork server has died")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line + b"\n"

    def _end(self, child: int) -> None:
        """Kill the child's process group, and (Linux) all other descendants. Raises SandboxBroken if some remain."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        if not descendants.end_all(self._process.pid):
            raise SandboxBroken("some processes of the candidate cannot be ended")


class Tail:
    """Drains a pipe in a thread and keeps its last bytes, so that a flood of output costs nothing."""

    def __init__(self, handle: int) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(handle,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(1.0)  # an escaped process may hold the pipe open; its output does not matter
        return self._kept.decode(errors="replace").replace("\x00", "")

    def _read(self, handle: int) -> None:
        with os.fdopen(handle, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65536):
                self._kept = (self._kept + chunk)[-KEPT_OUTPUT:]


def _how(code: int) -> str | None:
    """Describe an exit code; None for a normal exit."""
    if code < 0:
        hint = " (out of memory or CPU time)" if -code in (signal.SIGKILL, signal.SIGXCPU) else ""
        return f"was killed by signal {-code}{hint}"
    return f"exited with code {code}" if code else None


def _environment(home: Path) -> dict[str, str]:
    """Inherit only PATH: environments hold credentials."""
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
    return {
        "JOBLIB_MULTIPROCESSING": "0",
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GAUNTLET_PARENT": str(os.getpid()),
        **one_thread,
    }
