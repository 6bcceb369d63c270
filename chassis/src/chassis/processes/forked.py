"""The first moments of a forked process, until it is what the request describes: as `python` would have made it."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import gc
import io
import json
import os
import runpy
import socket
import sys
import time
from typing import NoReturn

SAFE_DESCRIPTOR = 200
"""Descriptors of a request are moved above this number before they are put in place."""
MOST_DESCRIPTORS = 64
THREADS = {
    "blas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS",),
}
"""The variables that the numeric libraries read when they are loaded, in their order."""


def received(source: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """One message with its descriptors, which programs that this process starts do not inherit."""
    handles = array.array("i")
    message, ancillary, _, _ = source.recvmsg(1, socket.CMSG_SPACE(most * handles.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
    return message, list(handles)


def become(request: socket.socket) -> NoReturn:
    """Read the request and be the process that it describes, as `python` would be: never returns."""
    with request:
        _, handles = received(request, MOST_DESCRIPTORS)
        with request.makefile("rb") as stream:
            wanted = json.loads(stream.read())
    _place(handles, [0, 1, 2, *wanted["pass_fds"]])
    os.environ.clear()
    os.environ.update(wanted["env"])
    time.tzset()
    _show(wanted["command"], wanted["env"])
    _open_streams()
    _limit_threads()
    _reseed()
    gc.enable()
    sys.dont_write_bytecode = wanted["no_bytecode"] or bool(wanted["env"].get("PYTHONDONTWRITEBYTECODE"))
    os.chdir(wanted["cwd"])
    if not wanted["isolated"]:
        paths = [path for path in wanted["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:0] = [wanted["cwd"], *paths] if wanted["module"] else paths
    sys.argv = [wanted["name"], *wanted["arguments"]]
    sys.orig_argv[:] = wanted["command"]
    if wanted["module"]:
        runpy.run_module(wanted["name"], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(wanted["name"], run_name="__main__")
    sys.exit(0)


def _place(handles: list[int], numbers: list[int]) -> None:
    moved = [fcntl.fcntl(handle, fcntl.F_DUPFD, SAFE_DESCRIPTOR) for handle in handles]
    for handle in handles:
        os.close(handle)
    for handle, number in zip(moved, numbers, strict=True):
        os.dup2(handle, number, inheritable=True)
        os.close(handle)


def _show(command: list[str], environment: dict[str, str]) -> None:
    """Let `ps`, and who looks for a process by its environment, see what they would see of a program of its own.

    The kernel shows the memory in which the arguments and the environment of the server were; see proc(5).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end, first, last = (int(fields[number]) for number in (45, 46, 47, 48))  # from the third of stat(5) on
        _overwrite(start, end, [argument.encode() for argument in command])
        # What tells processes apart comes first: the area may be too small for all of it.
        ordered = sorted(environment.items(), key=lambda item: not item[0].startswith("GAUNTLET_"))
        _overwrite(first, last, [f"{name}={value}".encode(errors="surrogateescape") for name, value in ordered])
        with open("/proc/self/comm", "w") as file:
            file.write(os.path.basename(command[0])[:15])


def _overwrite(start: int, end: int, strings: list[bytes]) -> None:
    """As many of the strings as fit, and zeros behind them."""
    kept = b""
    for string in strings:
        if len(kept) + len(string) + 1 >= end - start:
            break
        kept += string + b"\0"
    if end > start:
        ctypes.memmove(start, kept.ljust(end - start, b"\0"), end - start)


def _open_streams() -> None:
    """Anew, on the descriptors of the request; buffered as Python buffers."""
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    given = io.BufferedReader(io.FileIO(0, "r", closefd=False))
    errors = sys.stdin.errors  # of input and output: by the locale, which is the server's, too
    sys.stdin = io.TextIOWrapper(given, encoding="utf-8", errors=errors)
    for name, number in (("stdout", 1), ("stderr", 2)):
        file = io.FileIO(number, "w", closefd=False)
        stream = io.TextIOWrapper(
            file if at_once else io.BufferedWriter(file),
            encoding="utf-8",
            errors="backslashreplace" if number == 2 else errors,
            line_buffering=not at_once and (number == 2 or os.isatty(number)),
            write_through=at_once,
        )
        setattr(sys, name, stream)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def _limit_threads() -> None:
    """As many threads as the variables of this process say.

    The libraries were loaded with one thread, so that the server has none beside its own. OpenMP keeps the number a
    thread: one that the program starts later and that computes with OpenMP itself uses one.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = {interface: _threads(names, cores) for interface, names in THREADS.items()}
    wanted["blas"] = min(wanted["blas"], cores)  # OpenBLAS takes no more than that from its variables
    if set(wanted.values()) == {1}:
        return
    with contextlib.suppress(ImportError):
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=wanted)


def _threads(names: tuple[str, ...], default: int) -> int:
    for name in names:
        with contextlib.suppress(ValueError):
            if (number := int(os.environ.get(name, "").split(",")[0])) > 0:
                return number
    return default


def _reseed() -> None:
    """`random` does so by itself after a fork; NumPy's global generator would be the same in every process."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
