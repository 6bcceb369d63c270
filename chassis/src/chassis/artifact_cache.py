"""A disk cache of artifacts, models and datasets, addressed by digest.

An entry is complete or absent: it is built in a temporary folder and renamed into place. Replicas may share the cache
folder. Every read verifies the digest, so corruption on disk is detected before an entry is used.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chassis.digests import digest_tree
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
TEMPORARY = ".new-"
ABANDONED_SECONDS = 3600.0

log = get_logger(__name__)


class ArtifactCache:
    """Artifacts (folders or files) at `folder/<hex of the digest>`. All methods block; call them from threads."""

    def __init__(self, folder: Path, max_bytes: int, measure: Callable[[Path], str] = digest_tree) -> None:
        """`measure` returns an artifact's digest, and raises ValueError for an artifact of another kind."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._measure = measure

    def holds(self, digest: str) -> bool:
        return DIGEST.fullmatch(digest) is not None and self._entry(digest).exists()

    def add(self, digest: str, download: Callable[[Path], Path]) -> None:
        """Call `download` with an empty folder and keep the artifact if it has this `digest`.

        `download` returns the artifact's path in that folder. Raises Permanent when the digest differs.
        """
        self._entry(digest)
        try:
            with self._scratch() as scratch:
                fetched = download(scratch)
                found = self._digest(fetched)
                if found != digest:
                    raise Permanent(f"the artifact has digest {found}, but {digest} was promoted: it was changed since")
                self._move_in(fetched, digest)
        except OSError as error:
            raise Transient(f"cannot write to the artifact cache {self._folder}: {error}") from error

    def take(self, download: Callable[[Path], Path], digest: str | None = None) -> tuple[Path, str]:
        """Return the entry `digest` if it is cached and intact, else download the artifact; with the digest found.

        The digest of a downloaded artifact may be any. Raises ValueError for an artifact that does not belong in this
        cache, and OSError.
        """
        if digest is not None and DIGEST.fullmatch(digest) and (entry := self._entry(digest)).exists():
            if self._measure(entry) == digest:
                os.utime(entry)
                return entry, digest
            self._remove(entry)
        with self._scratch() as scratch:
            fetched = download(scratch)
            found = self._measure(fetched)
            entry = self._move_in(fetched, found)
        os.utime(entry)
        return entry, found

    def verified(self, digest: str) -> Path:
        """Return the path of the entry. Raises Transient when it is absent or corrupt; a corrupt entry is removed."""
        entry = self._entry(digest)
        try:
            found = self._digest(entry)
            os.utime(entry)  # marks the use, for `trim`
        except FileNotFoundError:
            raise Transient(f"{digest} is not in the artifact cache {self._folder}") from None
        except OSError as error:
            raise Transient(f"cannot read the artifact cache {self._folder}: {error}") from error
        if found != digest:
            self._remove(entry)
            raise Transient(f"the cached artifact {digest} was corrupt on disk (now {found}); removed")
        return entry

    def trim(self, keep: Collection[str] = (), *others: ArtifactCache) -> list[str]:
        """Remove least recently used entries until the size limit is met; never those in `keep`.

        The limit applies to this cache and `others` together. Returns the digests removed. Also removes leftovers of
        processes that died during a download.
        """
        entries = sorted(
            (each for cache in (self, *others) for each in cache._entries()), key=lambda item: item.last_used
        )
        total = sum(each.size for each in entries)
        removed: list[str] = []
        for each in entries:
            if total <= self._max_bytes:
                break
            if each.digest not in keep:
                each.cache._remove(each.path)
                total -= each.size
                removed.append(each.digest)
        return removed

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self._folder, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)

    def _digest(self, path: Path) -> str:
        try:
            return self._measure(path)
        except ValueError as error:
            raise Permanent(str(error)) from error

    def _entry(self, digest: str) -> Path:
        """Raises Permanent for an invalid digest, which would allow arbitrary paths."""
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise Permanent(f"artifact digest {digest[:80]!r} is not of the form sha256:<64 hex digits>")
        return self._folder / match.group(1)

    def _entries(self) -> list[_Entry]:
        if not self._folder.is_dir():
            return []
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process removed it
                used = path.stat().st_mtime
                if not path.name.startswith("."):
                    found.append(_Entry(self, path, f"sha256:{path.name}", used, size_of(path)))
                elif path.name.startswith(TEMPORARY) and time.time() - used > ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
        return found

    def _move_in(self, fetched: Path, digest: str) -> Path:
        entry = self._entry(digest)
        try:
            fetched.rename(entry)
        except OSError:
            if not entry.exists():
                raise
            log.info("another process added the entry first", entry=entry.name)  # equal digest, equal content
        return entry

    def _remove(self, entry: Path) -> None:
        """Move the entry away first (atomic), then delete it, so that no reader sees a partial entry."""
        grave = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self._folder))
        try:
            entry.rename(grave / entry.name)
        except FileNotFoundError:
            pass  # another process removed it
        shutil.rmtree(grave, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Entry:
    """`last_used`: seconds since the epoch; `size`: bytes."""

    cache: ArtifactCache
    path: Path
    digest: str
    last_used: float
    size: int


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
