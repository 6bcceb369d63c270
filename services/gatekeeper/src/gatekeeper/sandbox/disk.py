"""Disk usage of a process: files in its folder, and deleted files that it holds open."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BLOCK = 512
MOST_ENTRIES = 20_000


def used(folder: Path, processes: Iterable[int]) -> int:
    """Return the bytes used. A folder with more than MOST_ENTRIES counts as endless: a scan would take too long."""
    total, entries = 0, 0
    left = [str(folder)]
    while left:
        with suppress(OSError), os.scandir(left.pop()) as found:
            for entry in found:
                entries += 1
                if entries > MOST_ENTRIES:
                    return 2**62
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
    return total + sum(_deleted(pid) for pid in processes)


def _deleted(process: int) -> int:
    """Return the bytes of deleted files that the process holds open (Linux)."""
    total = 0
    with suppress(OSError), os.scandir(f"/proc/{process}/fd") as handles:
        for handle in handles:
            with suppress(OSError):
                info = os.stat(handle.path)
                total += info.st_blocks * BLOCK if info.st_nlink == 0 else 0
    return total
