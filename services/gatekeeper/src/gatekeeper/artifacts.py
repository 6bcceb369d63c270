"""A disk cache of models and datasets, addressed by the digest of what they hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from chassis.digests import digest_file, digest_tree
from chassis.registry import Registry

MEBIBYTE = 1024 * 1024


class ArtifactCache:
    """Below `folder`; several processes may share it. All methods block."""

    def __init__(self, folder: Path, registry: Registry, limit_mb: int) -> None:
        self._folder = folder
        self._registry = registry
        self._limit = limit_mb * MEBIBYTE

    def model(self, uri: str, digest: str | None = None) -> tuple[Path, str]:
        """A model folder and its digest; from the cache when `digest` is known and there, unchanged.

        Raises Transient, NotFound, and ValueError for an artifact that is no folder of plain files.
        """
        return self._get("models", uri, digest, _digest_folder)

    def dataset(self, uri: str, digest: str | None = None) -> tuple[Path, str]:
        """A dataset's file and its digest, as `model`."""
        return self._get("datasets", uri, digest, _digest_plain_file)

    def prune(self) -> None:
        """Remove what was not used for longest, until what is left is within the limit."""
        entries = [entry for kind in ("models", "datasets") for entry in (self._folder / kind).glob("*")]
        sizes = {entry: _size(entry) for entry in entries}
        total = sum(sizes.values())
        for entry in sorted(entries, key=_last_used):
            if total <= self._limit:
                return
            _remove(entry)
            total -= sizes[entry]

    def _get(self, kind: str, uri: str, digest: str | None, measure: Callable[[Path], str]) -> tuple[Path, str]:
        if digest is not None:
            kept = self._entry(kind, digest)
            if kept.exists():
                if measure(kept) == digest:
                    os.utime(kept)
                    return kept, digest
                _remove(kept)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._folder) as scratch:
            fetched = self._registry.download(uri, Path(scratch))
            found = measure(fetched)
            target = self._entry(kind, found)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                try:
                    fetched.replace(target)
                except OSError:
                    if not target.exists():  # else another process was quicker: equal digest, equal content
                        raise
            os.utime(target)
            return target, found

    def _entry(self, kind: str, digest: str) -> Path:
        return self._folder / kind / digest.removeprefix("sha256:")


def _digest_folder(path: Path) -> str:
    if not path.is_dir():
        raise ValueError(f"{path.name} is a single file, not the folder of a model")
    return digest_tree(path)


def _digest_plain_file(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path.name} is a folder, not the file of a dataset")
    return digest_file(path)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())


def _last_used(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
