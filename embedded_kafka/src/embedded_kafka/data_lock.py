"""Locks a data directory for one broker. Kafka's own check comes too late: after writing to the other's log."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_kafka.errors import StartFailed

POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path, timeout: float) -> Iterator[int]:
    """Hold the lock and yield its descriptor: a process that inherits it keeps the lock until it ends.

    Raises StartFailed when another process holds it for longer than `timeout` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + timeout
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"another Kafka uses {path.parent} (it holds {path}): stop it, or choose another data directory"
                )
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
