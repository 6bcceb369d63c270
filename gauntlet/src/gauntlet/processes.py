"""Processes identified by pid and start time: a pid alone may have been reused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

STARTED_TOLERANCE = 0.05  # seconds; psutil derives the start from clock ticks


def started(pid: int) -> float | None:
    """Return when process `pid` started (seconds since the epoch), or None when there is none (a zombie is none)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_running(pid: int | None, process_started: float | None) -> bool:
    """Return whether the process with `pid` and this start time is still alive."""
    if pid is None or process_started is None:
        return False
    found = started(pid)
    return found is not None and abs(found - process_started) <= STARTED_TOLERANCE


def end(pids: Iterable[int], timeout: float) -> None:
    """End these processes: SIGTERM, and after `timeout` seconds SIGKILL, for them and what is left of their groups."""
    groups: set[int] = set()
    running: list[int] = []
    for pid in pids:
        if started(pid) is None:
            continue
        running.append(pid)
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(pid))
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while any(started(pid) is not None for pid in running) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups - {os.getpgid(0)}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def marked(variable: str, value: str) -> list[int]:
    """Return this user's processes whose environment says `variable=value`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def listener(port: int) -> str | None:
    """Return the process that listens on `port`, as "name (pid 1)", as far as permissions allow."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
