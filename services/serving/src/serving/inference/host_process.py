"""One run of the process of a model, from the replica's side: started, called, limited, ended."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import psutil

from chassis.errors import Transient
from chassis.processes.launcher import Process, start
from chassis.processes.messages import received, send
from chassis.settings import MEBIBYTE

END_SECONDS = 5.0
LARGEST_ANSWER = 512 * MEBIBYTE
THREADS_BYTES = 1024 * MEBIBYTE
"""What the data limit leaves for the stacks and arenas of threads that a model starts later."""


class HostEnded(RuntimeError):
    """The model's process ended, or was ended because it did not respond."""


class Host:
    """One run of the process; it ends with this object."""

    def __init__(self, folder: Path, problem: str | None) -> None:
        """Start it. Raises Transient when the machine has no room for another process."""
        self._why = ""
        """We ended it, and why."""
        self.base_bytes = 0
        """Its memory when it was ready."""
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                arguments = [str(theirs.fileno()), str(folder), problem or ""]
                self._process = start(
                    [sys.executable, "-P", "-m", "serving.inference.model_host", *arguments],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    dies_with_client=True,
                )
        except OSError as error:
            raise Transient(f"the model's process cannot be started: {error}") from error
        self.pid = self._process.pid
        self.close = weakref.finalize(self, _end, self._socket, self._process)
        self.close.atexit = False  # the end of this process closes the socket as well

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL without our doing, as when the machine has no memory left."""
        return bool(self._process.poll() == -signal.SIGKILL) and not self._why

    def loaded(self, seconds: float) -> bytes:
        """Wait for the first outcome. Raises HostEnded."""
        return self._outcome(seconds)

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Return the outcome of a request. Raises HostEnded."""
        self._socket.settimeout(seconds)
        with suppress(OSError):  # of a process that has ended or does not read: noticed, and told, below
            send(self._socket, request)
        return self._outcome(seconds)

    def end(self, why: str) -> None:
        self._why = why
        self._process.kill()

    def has_ended(self) -> str | None:
        """Return why it ended; None while it runs."""
        return None if self._process.poll() is None else self._ending()

    def limit(self, growth_bytes: int | None) -> None:
        """Let it grow by so much from here on; None: without limit.

        Linux refuses it more at once; elsewhere, and where it grows in small steps, `check` ends it.
        """
        with suppress(psutil.Error, OSError):
            memory = psutil.Process(self.pid).memory_info()
            self.base_bytes = int(memory.rss)
            if hasattr(resource, "prlimit"):
                _, hard = resource.prlimit(self.pid, resource.RLIMIT_DATA)
                most = hard if growth_bytes is None else int(memory.data) + growth_bytes + THREADS_BYTES
                resource.prlimit(self.pid, resource.RLIMIT_DATA, (most, hard))

    def memory_bytes(self) -> int:
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _outcome(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            return received(self._socket, LARGEST_ANSWER)
        except TimeoutError:
            self.end(f"the model's process did not answer within {seconds:g} s, and was ended")
        except OverflowError as error:
            self.end(f"the model's process sent {error} bytes, and was ended")
        except EOFError:
            pass
        raise HostEnded(self._ending())

    def _ending(self) -> str:
        if self._why:
            return self._why
        code = _waited_for(self._process)
        return f"the model's process ended {f'with exit code {code}' if code >= 0 else f'by signal {-code}'}"


def _end(connection: socket.socket, process: Process) -> None:
    """Close the connection, at which the process ends; wait for it in another thread."""
    connection.close()
    threading.Thread(target=_waited_for, args=(process,), name="model host ends", daemon=True).start()


def _waited_for(process: Process) -> int:
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:  # the model holds the interpreter, or has closed the socket
        process.kill()
        return process.wait()
