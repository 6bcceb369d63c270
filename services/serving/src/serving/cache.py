"""The disk cache of artifacts, addressed by their digest.

An entry is whole or absent: it is built beside its place and renamed into it. Replicas may share the folder. What is
read from it is verified each time, so a disk that lies is found before a model of it answers.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from chassis.digests import digest_tree
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
TEMPORARY = ".new-"
ABANDONED_SECONDS = 3600.0

log = get_logger(__name__)


class ArtifactCache:
    """Folder `folder/<hex of the digest>/` an artifact. All methods block; call them from threads."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def holds(self, digest: str) -> bool:
        return DIGEST.fullmatch(digest) is not None and self._entry(digest).is_dir()

    def add(self, digest: str, download: Callable[[Path], Path]) -> None:
        """Have `download` put the artifact into an empty folder; keep it if it is what `digest` says.

        `download` returns where in that folder the artifact is. Raises Permanent when it is something else.
        """
        entry = self._entry(digest)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self._folder, ignore_cleanup_errors=True) as scratch:
                fetched = download(Path(scratch))
                found = _digest(fetched)
                if found != digest:
                    raise Permanent(f"the artifact has digest {found}, but {digest} was promoted: it was changed since")
                self._move_in(fetched, entry)
        except OSError as error:
            raise Transient(f"cannot write to the artifact cache {self._folder}: {error}") from error

    def verified(self, digest: str) -> Path:
        """The entry's folder. Raises Transient when it is not there or not intact; then it is removed."""
        entry = self._entry(digest)
        try:
            found = _digest(entry)
            os.utime(entry)  # marks the use, for `trim`
        except FileNotFoundError:
            raise Transient(f"{digest} is not in the artifact cache {self._folder}") from None
        except OSError as error:
            raise Transient(f"cannot read the artifact cache {self._folder}: {error}") from error
        if found != digest:
            self._remove(entry)
            raise Transient(f"the cached artifact {digest} was corrupt on disk (now {found}); removed")
        return entry

    def trim(self, keep: Collection[str]) -> list[str]:
        """Remove entries, those used longest ago first, until the limit is kept; never those in `keep`.

        Returns the digests removed. Leftovers of processes that died while fetching go as well.
        """
        if not self._folder.is_dir():
            return []
        self._sweep()
        kept = {self._entry(digest).name for digest in keep if DIGEST.fullmatch(digest)}
        entries = sorted(self._entries(), key=lambda item: item[1])
        total = sum(size for _, _, size in entries)
        removed: list[str] = []
        for entry, _, size in entries:
            if total <= self._max_bytes:
                break
            if entry.name not in kept:
                self._remove(entry)
                total -= size
                removed.append(f"sha256:{entry.name}")
        return removed

    def _entry(self, digest: str) -> Path:
        """Raises Permanent for what is no digest: it would be a path that somebody else chose."""
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise Permanent(f"artifact digest {digest[:80]!r} is not of the form sha256:<64 hex digits>")
        return self._folder / match.group(1)

    def _entries(self) -> list[tuple[Path, float, int]]:
        found = []
        for entry in self._folder.iterdir():
            if not entry.name.startswith(".") and entry.is_dir():
                found.append((entry, entry.stat().st_mtime, size_of(entry)))
        return found

    def _sweep(self) -> None:
        for leftover in self._folder.glob(f"{TEMPORARY}*"):
            if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)

    def _move_in(self, fetched: Path, entry: Path) -> None:
        try:
            fetched.rename(entry)
        except OSError:
            if not entry.is_dir():
                raise
            log.info("another replica was quicker", entry=entry.name)  # equal digest, equal content

    def _remove(self, entry: Path) -> None:
        """Out of its place at once, so that nobody sees half an entry."""
        grave = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self._folder))
        try:
            entry.rename(grave / entry.name)
        except FileNotFoundError:
            pass  # another replica was quicker
        shutil.rmtree(grave, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _digest(folder: Path) -> str:
    try:
        return digest_tree(folder)
    except ValueError as error:
        raise Permanent(str(error)) from error
