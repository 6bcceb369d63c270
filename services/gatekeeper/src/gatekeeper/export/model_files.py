"""What the files of a model are and say, read without running any of its code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from chassis import mlmodel
from chassis.digests import digest_file
from gatekeeper.promotion.manifest import files_of


def read(folder: Path) -> dict[str, Any]:
    """Return files with their digests, flavors, features and requirements. Raises ValueError as `mlmodel.read` does."""
    about, said = files_of(folder), mlmodel.content(folder)
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: _name(folder, path))
    flavors = said.get("flavors")
    return {
        "files": [
            {"path": _name(folder, path), "sha256": digest_file(path)[7:], "bytes": path.stat().st_size}
            for path in paths
        ],
        "flavors": sorted(map(str, flavors)) if isinstance(flavors, Mapping) else [],
        "features": about.features,
        "requirements": about.requirements,
        "python": about.python,
        "problem": None,
    }


def unread(problem: str) -> dict[str, Any]:
    """Return the same for files that could not be read."""
    return {
        "files": [],
        "flavors": [],
        "features": None,
        "requirements": None,
        "python": None,
        "problem": f"the files of the model could not be read: {problem}",
    }


def tree_digest(files: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest of the folder that has these files, as `chassis.digests.digest_tree` computes it."""
    total = sha256()
    for each in sorted(files, key=lambda one: str(one["path"])):
        total.update(f"{each['path']}\0sha256:{each['sha256']}\n".encode())
    return "sha256:" + total.hexdigest()


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
