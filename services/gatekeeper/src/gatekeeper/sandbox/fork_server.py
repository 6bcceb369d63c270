"""A clean process that imports the modules of every probe once and forks one child per probe, which saves seconds.

`python -I -B -m gatekeeper.sandbox.fork_server FD`, where FD is a stream socket to the gatekeeper. It never
loads a model itself.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from gatekeeper.sandbox.descendants import adopt_orphans
from gatekeeper.sandbox.isolation import tried

PR_SET_PDEATHSIG = 1
READY, ENDED, REAP = b"ready ", b"ended\n", b"reap\n"
LONGEST_MESSAGE = 4096
IMPORTED_ONCE = (
    *("mlflow.pyfunc", "mlflow.models", "mlflow.sklearn", "pandas", "pyarrow.parquet", "pyarrow.dataset"),
    *(
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.pipeline",
        "chassis.servable",
        "gatekeeper.sandbox.compile_probe",
    ),
)
"""A replica that loads a model has also imported these, so the load time measured here is representative."""


def die_with_parent(parent: int) -> None:
    """Die with the gatekeeper, so that killing it leaves no candidate code running (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def serve(control: socket.socket) -> None:
    """Serve probes one by one: scratch folder and output pipe in, process id out; "ended" out, "reap" in, end out.

    The end: exit code, and in KiB the child's peak memory and its memory before it loaded the model. Before the first
    probe: the isolation of the children, as JSON.
    """
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    _without_processes_of_joblib()
    from gatekeeper.sandbox import child

    adopt_orphans()
    isolation = tried(Path.cwd())
    control.sendall(READY + json.dumps(isolation.as_json()).encode() + b"\n")
    while True:
        message, handles, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message:
            return
        reading, writing = os.pipe()
        template, pid = os.getpid(), os.fork()
        if pid == 0:
            control.close()
            _become(handles[0])
            die_with_parent(template)
            os.close(reading)
            code = child.main(Path(message.decode()), isolation, writing)
            with suppress(Exception):
                sys.stdout.flush()
            os._exit(code)  # exit handlers of the candidate do not run
        os.close(handles[0])
        os.close(writing)
        control.sendall(b"%d\n" % pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie's process id cannot be reused
        control.sendall(ENDED)
        if control.recv(len(REAP)) != REAP:
            return
        _, status, usage = os.wait4(pid, 0)
        peak = usage.ru_maxrss // (1 if sys.platform == "linux" else 1024)
        control.sendall(b"%d %d %d\n" % (os.waitstatus_to_exitcode(status), peak, _number(reading)))
        _reap_orphans()


def _without_processes_of_joblib() -> None:
    """Disable joblib's multiprocessing: its pools need lock files in /dev/shm, which a candidate may not write.

    A forest with n_jobs uses such a pool. JOBLIB_MULTIPROCESSING=0 has no effect after a fork: joblib is imported.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("joblib.") and hasattr(module, "mp"):
            module.mp = None  # type: ignore[attr-defined]


def _reap_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _number(pipe: int) -> int:
    """Read the number that the child wrote before candidate code ran; the child has closed its end."""
    with os.fdopen(pipe, "rb") as file:
        return int(file.read(32) or 0)


def _become(output: int) -> None:
    """Start a new session and redirect its output to the gatekeeper."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)


if __name__ == "__main__":
    if os.getppid() == (gatekeeper := int(os.environ["GAUNTLET_PARENT"])):
        die_with_parent(gatekeeper)
    # Else the parent is a fork server, which kills this process; or the gatekeeper is dead, and `control` is closed.
    serve(socket.socket(fileno=int(sys.argv[1])))
