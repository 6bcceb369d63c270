"""Content-addressed evidence files: on disk, and in an MLflow run of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chassis.digests import digest_file
from chassis.errors import NotFound
from chassis.registry import Registry
from gatekeeper.evidence.document import Keep

EXPERIMENT = "gauntlet-evidence"
OBJECTS = "objects"


class EvidenceStore:
    """The disk is a cache: a file that is missing, or whose digest differs, is fetched from MLflow."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder = folder
        self._registry = registry

    @contextmanager
    def writing(self, model_name: str) -> Iterator[Keep]:
        """Store files on disk within the context, in MLflow at its end. Raises Transient when MLflow is unavailable."""
        new: list[Path] = []

        def keep(content: bytes) -> str:
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            path = self._path(digest)
            if not (path.exists() and self._sent(path).exists()):
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_name(f".{path.name}.draft")
                draft.write_bytes(content)
                draft.replace(path)
                new.append(path)
            return digest

        yield keep
        if new:
            run_id = self._registry.own_run(EXPERIMENT, model_name)
            for path in new:
                self._registry.upload(run_id, path, OBJECTS)
                self._sent(path).touch()

    def load(self, model_name: str, digest: str) -> bytes:
        """Load a file by digest. Raises Transient, and NotFound when neither disk nor MLflow has it unchanged."""
        path = self._path(digest)
        if path.exists() and digest_file(path) == digest:
            return path.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        run_id = self._registry.own_run(EXPERIMENT, model_name)
        fetched = self._registry.download(f"runs:/{run_id}/{OBJECTS}/{path.name}", path.parent)
        if digest_file(fetched) != digest:
            fetched.unlink()
            raise NotFound(f"{path.name} in MLflow is not what was kept: its digest differs")
        return fetched.read_bytes()

    def add(self, model_name: str, path: Path, folder: str) -> str:
        """Store a file under its own name; returns its URI."""
        return self._registry.upload(self._registry.own_run(EXPERIMENT, model_name), path, folder)

    def add_folder(self, model_name: str, path: Path, folder: str) -> str:
        """Store the files of a folder as `folder`; returns its URI. Raises Transient when MLflow is unavailable."""
        return self._registry.upload_folder(self._registry.own_run(EXPERIMENT, model_name), path, folder)

    def _path(self, digest: str) -> Path:
        return self._folder / OBJECTS / f"{digest.removeprefix('sha256:')}.parquet"

    def _sent(self, path: Path) -> Path:
        return path.with_suffix(".sent")
