"""A fork server: has third-party libraries imported and forks Python processes on request (Linux).

`python -P -m chassis.processes.fork_server LISTENER LIFELINE FOLDER MODULES`; the first two are file descriptors of
sockets. It imports no service and starts no thread. `launcher` is its client.

A client sends one byte and a socket over its connection. The server forks at once; only the child reads the request
from that socket. So no environment, argument or descriptor of one process ever enters the memory of the server, from
which the next process (for example a sandbox) is forked. Over the connection the server sends `pid NUMBER`, later
`exit STATUS`. The process remains a zombie until the client acknowledges, so its pid is not reused before that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from chassis.processes.forked import become, received

DIES_WITH_CLIENT = b"k"
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """A forked process. `connection` is None once its client has closed it."""

    connection: socket.socket | None
    dies_with_client: bool
    ended: bool = False


class Server:
    """The event loop of the parent process."""

    def __init__(self, listener: socket.socket, lifeline: socket.socket) -> None:
        self._listener, self._lifeline = listener, lifeline
        self._children: dict[int, Child] = {}
        self._waiting: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        self._pid = os.getpid()
        self._owned = True

    def run(self) -> socket.socket | None:
        """Serve until the owner has exited and no child is left. Returns the request's socket in each forked child.

        Returns None in the server itself, at its end.
        """
        for handle in (self._woken, self._wake):
            os.set_blocking(handle, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for item in (self._listener, self._lifeline, self._woken):
            self._selector.register(item, selectors.EVENT_READ)
        while self._owned or self._children:
            for key, _ in self._selector.select():
                if (request := self._handle(key.fileobj)) is not None:
                    return request
        return None

    def _handle(self, item: Any) -> socket.socket | None:
        if item is self._listener:
            connection, _ = self._listener.accept()
            self._waiting.add(connection)
            self._selector.register(connection, selectors.EVENT_READ)
        elif item is self._lifeline:
            self._owned = False  # the owner never sends data, so this is its exit
            self._selector.unregister(self._lifeline)
        elif item == self._woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._notice_ends()
        elif item in self._waiting:
            return self._fork(item)
        else:
            self._hear(item)
        return None

    def _fork(self, connection: socket.socket) -> socket.socket | None:
        self._waiting.discard(connection)
        try:
            mode, handles = received(connection, 1)
        except OSError:
            mode, handles = b"", []
        if not handles:
            self._forget(connection)
            return None
        request = socket.socket(fileno=handles[0])
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            return request
        request.close()
        self._children[pid] = Child(connection, mode == DIES_WITH_CLIENT)
        _send(connection, b"pid %d\n" % pid)
        return None

    def _leave(self, connection: socket.socket) -> None:
        """In the child: release everything that belongs to the server."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        mine = [self._listener, self._lifeline, connection, *self._waiting]
        for item in (*mine, *(child.connection for child in self._children.values() if child.connection)):
            item.close()
        for handle in (self._woken, self._wake):
            os.close(handle)
        os.setsid()
        # Clients learn of this process's exit through the server, so it must not outlive the server.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            os._exit(1)

    def _notice_ends(self) -> None:
        for pid, child in list(self._children.items()):
            if child.ended:
                continue
            state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is None:
                continue
            child.ended = True
            status = state.si_status if state.si_code == os.CLD_EXITED else -state.si_status
            if child.connection is None or not _send(child.connection, b"exit %d\n" % status):
                self._reap(pid)

    def _hear(self, connection: socket.socket) -> None:
        """Handle an acknowledgement of a process's exit, or the client's disconnection."""
        with contextlib.suppress(ConnectionError):
            if not connection.recv(64):
                raise ConnectionError
        pid = next(pid for pid, child in self._children.items() if child.connection is connection)
        child = self._children[pid]
        self._forget(connection)
        child.connection = None
        if child.ended:
            self._reap(pid)
        elif child.dies_with_client:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _reap(self, pid: int) -> None:
        os.waitpid(pid, 0)
        connection = self._children.pop(pid).connection
        if connection is not None:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()


def _send(connection: socket.socket, message: bytes) -> bool:
    try:
        connection.sendall(message)
    except OSError:
        return False
    return True


def main(listener: int, lifeline: int, folder: str, modules: list[str]) -> None:
    missing = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a missing or broken library raises again where it is used
            missing[name] = f"{type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()  # garbage collection in a child would touch, and so copy, every page of the libraries
    gc.disable()
    owner = socket.socket(fileno=lifeline)
    threads = len(os.listdir("/proc/self/task"))
    _send(owner, json.dumps({"ready": True, "threads": threads, "missing": missing}).encode() + b"\n")
    request = Server(socket.socket(fileno=listener), owner).run()
    if request is not None:
        become(request)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].split(","))
