"""Turns a freshly forked process into the one that the request describes, as if started by `python`."""

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
"""Descriptors of a request are moved above this number before they are assigned their final numbers."""
MOST_DESCRIPTORS = 64
THREADS = {
    "blas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS",),
}
"""The variables that the numeric libraries read at load time, in order of precedence."""


def received(source: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """Receive one message with its descriptors, which are not inherited by child programs."""
    handles = array.array("i")
    message, ancillary, _, _ = source.recvmsg(1, socket.CMSG_SPACE(most * handles.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
    return message, list(handles)


def become(request: socket.socket) -> NoReturn:
    """Read the request and run the process it describes, as `python` would; never returns."""
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
    """Make `ps`, and searches by environment, see this process as they would see a separate program.

    The kernel exposes the memory that held the arguments and the environment of the server; see proc(5).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end, first, last = (int(fields[number]) for number in (45, 46, 47, 48))  # from the third of stat(5) on
        _overwrite(start, end, [argument.encode() for argument in command])
        # Variables that distinguish processes come first: the area may be too small for all.
        ordered = sorted(environment.items(), key=lambda item: not item[0].startswith("GAUNTLET_"))
        _overwrite(first, last, [f"{name}={value}".encode(errors="surrogateescape") for name, value in ordered])
        with open("/proc/self/comm", "w") as file:
            file.write(os.path.basename(command[0])[:15])


def _overwrite(start: int, end: int, strings: list[bytes]) -> None:
    """Write as many of the strings as fit, padded with zeros."""
    kept = b""
    for string in strings:
        if len(kept) + len(string) + 1 >= end - start:
            break
        kept += string + b"\0"
    if end > start:
        ctypes.memmove(start, kept.ljust(end - start, b"\0"), end - start)


def _open_streams() -> None:
    """Reopen the standard streams on the request's descriptors, buffered as Python does."""
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    given = io.BufferedReader(io.FileIO(0, "r", closefd=False))
    errors = sys.stdin.errors  # of input and output: depends on the locale, which equals the server's
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
    """Set the thread counts that the variables of this process request.

    The libraries were loaded with one thread, so that the server has no other threads. OpenMP keeps the count per
    thread: a thread that the program starts later and that uses OpenMP itself computes with one.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = {interface: _threads(names, cores) for interface, names in THREADS.items()}
    wanted["blas"] = min(wanted["blas"], cores)  # OpenBLAS caps its variables at the number of cores
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
    """Reseed NumPy's global generator, which would be identical in every fork; `random` reseeds itself."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
