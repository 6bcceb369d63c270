"""A folder of our own for scratch files; those of processes that were killed are swept away."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


class Workspace:
    """`path` exists, and is ours, until `close` or the end of this process: the lock on it ends with its holder."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            for other in root.glob("sandbox-*"):
                _remove_if_dead(other)
            self.path = Path(tempfile.mkdtemp(prefix="sandbox-", dir=root))
            self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process at a time makes and sweeps: a folder is seen by others only when its lock is held."""
    handle = os.open(root / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_if_dead(folder: Path) -> None:
    handle = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # its process lives
    finally:
        os.close(handle)
