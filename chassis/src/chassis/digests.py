"""Content digests of files and folders: `sha256:<hex>`."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_file(path: Path) -> str:
    """Return the digest of the file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def digest_tree(folder: Path) -> str:
    """Return the digest over every file below `folder`: relative POSIX path and content, in path order.

    Raises FileNotFoundError when `folder` is not a folder, ValueError for a symbolic link, which could point anywhere.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda item: item.relative_to(folder).as_posix()):
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; artifacts must be plain files")
        if path.is_file():
            total.update(f"{path.relative_to(folder).as_posix()}\0{digest_file(path)}\n".encode())
    return "sha256:" + total.hexdigest()
