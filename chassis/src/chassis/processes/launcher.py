"""Starts Python processes: forked from a fork server if there is one (Linux), else as separate programs.

`start(command, …)` is used like `subprocess.Popen(command, …, start_new_session=True)`. A process whose environment
contains the `variable` of an `owner.ForkServer` is forked by that server, and so are the processes it starts.
"""

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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from chassis.processes.fork_server import DIES_WITH_CLIENT

FORK_SERVER = "GAUNTLET_FORK_SERVER"
"""The environment variable with the address of the fork server and its Python installation."""

CONNECT_SECONDS = 60.0
LOOK_SECONDS = 0.05


class Process(Protocol):
    """The return type of `start`: the subset of subprocess.Popen in use."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    returncode: int | Any

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    pass_fds: Sequence[int] = (),
    dies_with_client: bool = False,
) -> Process:
    """Start `command` in a new session; the other arguments are those of subprocess.Popen.

    `dies_with_client`: a forked process, with its group, is killed when this process ends, however it ends. Without a
    fork server the process has to ensure that itself. Raises OSError as Popen does.
    """
    environment = dict(os.environ if env is None else env)
    address = _address(environment) or _address(os.environ)
    python = _python(command) if address else None
    if address and python is not None:
        with suppress(OSError, EOFError):
            # The server is gone or rejects the request: fall back to a separate program, which is only slower.
            request = {**python, "command": list(command), "env": environment, "cwd": str(cwd or Path.cwd())}
            return _forked(address, request, (stdin, stdout, stderr), pass_fds, dies_with_client)
    return subprocess.Popen(
        list(command),
        env=environment,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


class ForkedProcess:
    """A process forked by a fork server for this process. Safe to use from several threads."""

    def __init__(
        self,
        pid: int,
        args: Sequence[str],
        connection: socket.socket,
        pipes: tuple[IO[bytes] | None, IO[bytes] | None],
    ) -> None:
        self.pid = pid
        self.args = list(args)
        self.stdin, self.stdout = pipes
        self.returncode: int | None = None
        self._connection = connection
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))
            with self._lock:
                if (code := self._look(left)) is not None:
                    return code
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)

    def send_signal(self, sig: int) -> None:
        with self._lock:
            if self._look(0.0) is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], seconds)[0]:
            try:
                self.returncode = int(line_of(self._connection).removeprefix("exit "))
                self._connection.sendall(b"\n")
            except (OSError, EOFError):
                if self.returncode is None:
                    self.returncode = -signal.SIGKILL  # a forked process does not outlive its server
            self._connection.close()
        return self.returncode


def _address(environment: Mapping[str, str]) -> str | None:
    """Return the address of the fork server in an environment, if it runs the same Python installation."""
    path, _, prefix = environment.get(FORK_SERVER, "").rpartition(os.pathsep)
    return path if path and prefix == sys.prefix else None


def _python(command: Sequence[str]) -> dict[str, Any] | None:
    """Parse a Python command line; return None for another program, or for options that a fork cannot honour."""
    if not command or command[0] != sys.executable:
        return None
    rest = list(command[1:])
    flags = []
    while rest and rest[0] in ("-I", "-B", "-P", "-u"):
        flags.append(rest.pop(0))
    module = bool(rest) and rest[0] == "-m"
    if module:
        rest.pop(0)
    if not rest or rest[0].startswith("-") or "-u" in flags:
        return None
    return {
        "module": module,
        "name": rest[0],
        "arguments": rest[1:],
        "isolated": bool({"-I", "-P"} & set(flags)),
        "no_bytecode": "-B" in flags,
    }


def _forked(
    address: str,
    request: Mapping[str, Any],
    streams: Sequence[int | IO[Any] | None],
    pass_fds: Sequence[int],
    dies_with_client: bool,
) -> ForkedProcess:
    with _Streams(streams) as given, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(address)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                mode = DIES_WITH_CLIENT if dies_with_client else b"-"
                socket.send_fds(connection, [mode], [theirs.fileno()])
            socket.send_fds(ours, [b"-"], [*given.theirs, *pass_fds])
            ours.sendall(json.dumps({**request, "pass_fds": list(pass_fds)}).encode())
        pid = int(line_of(connection).removeprefix("pid "))
        return ForkedProcess(pid, request["command"], connection.dup(), given.ours())


class _Streams:
    """Standard input, output and error as descriptors: creates pipes; streams not given are inherited."""

    def __init__(self, streams: Sequence[int | IO[Any] | None]) -> None:
        self.theirs: list[int] = []
        self._ours: dict[int, int] = {}
        self._opened: list[int] = []
        for number, stream in enumerate(streams):
            self.theirs.append(self._theirs(number, stream))

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in (*self._opened, *self._ours.values()):
            os.close(handle)

    def ours(self) -> tuple[IO[bytes] | None, IO[bytes] | None]:
        """Return the other ends of the pipes, which the caller then owns."""
        ends, self._ours = self._ours, {}
        stdin = os.fdopen(ends[0], "wb") if 0 in ends else None
        stdout = os.fdopen(ends[1], "rb") if 1 in ends else None
        return stdin, stdout

    def _theirs(self, number: int, stream: int | IO[Any] | None) -> int:
        if stream is None:
            return number
        if stream == subprocess.PIPE:
            reading, writing = os.pipe()
            self._ours[number] = writing if number == 0 else reading
            self._opened.append(reading if number == 0 else writing)
        elif stream == subprocess.DEVNULL:
            self._opened.append(os.open(os.devnull, os.O_RDWR))
        elif stream == subprocess.STDOUT:
            return self.theirs[1]
        else:
            return stream if isinstance(stream, int) else stream.fileno()
        return self._opened[-1]


def line_of(source: socket.socket) -> str:
    """Read the next line, without its newline. Raises EOFError when the other side has closed."""
    received = b""
    while not received.endswith(b"\n"):
        chunk = source.recv(1)
        if not chunk:
            raise EOFError("the fork server has ended")
        received += chunk
    return received.decode().rstrip("\n")
