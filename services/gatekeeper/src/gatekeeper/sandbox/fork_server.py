"""A clean process that has imported what every probe needs, and forks one child a probe: seconds saved each time.

`python -I -B -m gatekeeper.sandbox.fork_server FD`, FD being a stream socket to the gatekeeper. It loads no model
itself.
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
        "chassis.predictions",
        "gatekeeper.sandbox.compile_probe",
    ),
)
"""A replica that swaps a model in has these loaded as well, so the load time measured here is the one it will see."""


def die_with_parent(parent: int) -> None:
    """A gatekeeper that is killed must not leave candidate code behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def serve(control: socket.socket) -> None:
    """One probe after another: scratch folder and output pipe in, process id out; "ended" out, "reap" in, end out.

    The end: exit code, and in KiB the peak of the child's memory and what it had before it loaded the model. Before the
    first probe: the isolation that children will have, as JSON.
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
            os._exit(code)  # what the candidate registered to run at exit stays unrun
        os.close(handles[0])
        os.close(writing)
        control.sendall(b"%d\n" % pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie's number cannot be given to another process
        control.sendall(ENDED)
        if control.recv(len(REAP)) != REAP:
            return
        _, status, usage = os.wait4(pid, 0)
        peak = usage.ru_maxrss // (1 if sys.platform == "linux" else 1024)
        control.sendall(b"%d %d %d\n" % (os.waitstatus_to_exitcode(status), peak, _number(reading)))
        _reap_orphans()


def _without_processes_of_joblib() -> None:
    """A forest with n_jobs asks joblib for a pool, whose locks are files in /dev/shm, which a candidate may not write.

    JOBLIB_MULTIPROCESSING=0 says so to a program; in a forked process joblib is imported already.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("joblib.") and hasattr(module, "mp"):
            module.mp = None  # type: ignore[attr-defined]


def _reap_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _number(pipe: int) -> int:
    """What the child wrote before any code of the candidate ran; it has closed its end since."""
    with os.fdopen(pipe, "rb") as file:
        return int(file.read(32) or 0)


def _become(output: int) -> None:
    """A session of its own, whose output goes to the gatekeeper."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)


if __name__ == "__main__":
    if os.getppid() == (gatekeeper := int(os.environ["GAUNTLET_PARENT"])):
        die_with_parent(gatekeeper)
    # Else a fork server is the parent, which sees to that; or the gatekeeper is dead, and `control` says so.
    serve(socket.socket(fileno=int(sys.argv[1])))
