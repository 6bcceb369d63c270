"""All descendants of a process, even those that left its session or lost their parents (Linux: by /proc)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 200
ROUND_SECONDS = 0.01


def adopt_orphans() -> None:
    """Make this process the parent of orphaned grandchildren, so that they cannot escape."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def of(ancestor: int) -> set[int]:
    """Return the living descendants of `ancestor`, without itself."""
    children: dict[int, list[int]] = {}
    for pid, parent in _all():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    left = [ancestor]
    while left:
        for child in children.get(left.pop(), ()):
            if child not in found:
                found.add(child)
                left.append(child)
    return found


def end_all(ancestor: int) -> bool:
    """Stop all descendants, so that none can start another, then kill them. False if some remain after the rounds."""
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        new = of(ancestor) - stopped
        if not new:
            break
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped |= new
    for _ in range(ROUNDS):
        left = of(ancestor)
        if not left:
            return True
        for pid in left:
            _send(pid, signal.SIGKILL)
        time.sleep(ROUND_SECONDS)
    return not of(ancestor)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _all() -> Iterator[tuple[int, int]]:
    """Yield (process id, parent id) of all processes except zombies."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                yield int(folder.name), int(fields[1])
