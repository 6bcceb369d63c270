"""How much a process has on disk: what lies in its folder, and what it holds open although it was deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BLOCK = 512
MOST_ENTRIES = 20_000


def used(folder: Path, processes: Iterable[int]) -> int:
    """Bytes. A folder with very many entries counts as endless: looking further would take longer than it may."""
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
    """Of files that it holds open and that have no name any more (Linux)."""
    total = 0
    with suppress(OSError), os.scandir(f"/proc/{process}/fd") as handles:
        for handle in handles:
            with suppress(OSError):
                info = os.stat(handle.path)
                total += info.st_blocks * BLOCK if info.st_nlink == 0 else 0
    return total
