"""Disk cache of MLflow's models and datasets: each is fetched once, by its digest where that is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from chassis.artifact_cache import ArtifactCache
from chassis.digests import digest_file, digest_tree
from chassis.registry import Registry
from contracts import Dataset

MEBIBYTE = 1024 * 1024


class Artifacts:
    """Caches in `folder`, at most `limit_mb` of both together; several processes may share it. All methods block."""

    def __init__(self, folder: Path, registry: Registry, limit_mb: int) -> None:
        self._registry = registry
        self._models = ArtifactCache(folder / "models", limit_mb * MEBIBYTE, _digest_folder)
        self._datasets = ArtifactCache(folder / "datasets", limit_mb * MEBIBYTE, _digest_plain_file)

    def model(self, uri: str, digest: str | None = None) -> tuple[Path, str]:
        """A model folder and its digest; from the cache when `digest` is known and there, unchanged.

        Raises Transient, NotFound, and ValueError for an artifact that is no folder of plain files.
        """
        return self._models.take(partial(self._registry.download, uri), digest)

    def dataset(self, uri: str, digest: str | None = None) -> tuple[Path, str]:
        """A dataset's file and its digest, as `model`."""
        return self._datasets.take(partial(self._registry.download, uri), digest)

    def add_dataset(self, copy: Callable[[Path], Path], uri: str) -> Dataset:
        """Put a file into the cache that `copy` writes into a folder, for a dataset that no store has."""
        _, digest = self._datasets.take(copy)
        return Dataset(uri=uri, digest=digest)

    def prune(self) -> None:
        """Remove the least recently used entries until the rest is within the limit."""
        self._models.trim((), self._datasets)


def _digest_folder(path: Path) -> str:
    if not path.is_dir():
        raise ValueError(f"{path.name} is a single file, not the folder of a model")
    return digest_tree(path)


def _digest_plain_file(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path.name} is a folder, not the file of a dataset")
    return digest_file(path)
