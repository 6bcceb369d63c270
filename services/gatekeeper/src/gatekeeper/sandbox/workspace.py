"""A private folder for scratch files; folders of killed processes are removed."""

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
    """`path` exists and is locked until `close` or the end of this process, which releases the lock."""

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
    """Serialize creation and removal: other processes see a folder only once its lock is held."""
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
        pass  # its process is alive
    finally:
        os.close(handle)
