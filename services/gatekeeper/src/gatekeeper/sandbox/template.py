"""A clean process that has imported what every probe needs, and forks one child a probe: seconds saved each time.

`python -I -B -m gatekeeper.sandbox.template FD`, FD being a stream socket to the gatekeeper. It loads no model itself.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY, ENDED, REAP = b"ready\n", b"ended\n", b"reap\n"
LONGEST_MESSAGE = 4096
IMPORTED_ONCE = (
    *("mlflow.pyfunc", "mlflow.models", "mlflow.sklearn", "pandas", "pyarrow.parquet", "pyarrow.dataset"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "chassis.answers"),
)
"""A replica that swaps a model in has these loaded as well, so the load time measured here is the one it will see."""


def die_with_parent(parent: int) -> None:
    """A gatekeeper that is killed must not leave candidate code behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def serve(control: socket.socket) -> None:
    """One probe after another: scratch folder and output pipe in, process id out; "ended" out, "reap" in, code out."""
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    from gatekeeper.sandbox import child

    control.sendall(READY)
    while True:
        message, handles, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message:
            return
        template, pid = os.getpid(), os.fork()
        if pid == 0:
            control.close()
            _become(handles[0])
            die_with_parent(template)
            code = child.main(Path(message.decode()))
            with suppress(Exception):
                sys.stdout.flush()
            os._exit(code)  # what the candidate registered to run at exit stays unrun
        os.close(handles[0])
        control.sendall(b"%d\n" % pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie's number cannot be given to another process
        control.sendall(ENDED)
        if control.recv(len(REAP)) != REAP:
            return
        _, status = os.waitpid(pid, 0)
        control.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(output: int) -> None:
    """A session of its own, whose output goes to the gatekeeper."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)


if __name__ == "__main__":
    die_with_parent(int(os.environ["GAUNTLET_PARENT"]))
    serve(socket.socket(fileno=int(sys.argv[1])))
