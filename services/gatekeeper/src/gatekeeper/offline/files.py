"""The files of exported evidence against their manifest, and the manifest against its signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.digests import digest_file
from chassis.errors import Permanent
from chassis.signing.dsse import NotVerified, SignedBytes, Verifier, verified
from gatekeeper.export import layout


class Fault(Permanent):
    """The first thing that does not fit; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Manifest:
    """`key_id`: the trusted key that signed it; None where no keys were given."""

    model_name: str
    model_version: int
    created_at: str
    files: frozenset[str]
    key_id: str | None


def verify_files(folder: Path, keys: Verifier | None) -> Manifest:
    """Verify the signature of the manifest, where keys are given, and that the folder has exactly its files.

    Raises Fault.
    """
    if not folder.is_dir():
        raise Fault(f"{folder} is no folder")
    content = _bytes(folder / layout.MANIFEST)
    key_id = _signed_by(folder, content, keys)
    body = read_json(folder / layout.MANIFEST)
    try:
        if body["format"] != layout.FORMAT:
            raise Fault(f"{layout.MANIFEST}: its format is {body['format']!r}; this version reads {layout.FORMAT}")
        listed: Mapping[str, Any] = body["files"]
        expected = {layout.safe_path(path): (str(each["sha256"]), int(each["bytes"])) for path, each in listed.items()}
        found = Manifest(str(body["model"]), int(body["version"]), str(body["created_at"]), frozenset(expected), key_id)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Fault(f"{layout.MANIFEST} is no manifest of evidence: {type(error).__name__}: {error}") from error
    _same_files(folder, expected)
    return found


def _signed_by(folder: Path, content: bytes, keys: Verifier | None) -> str | None:
    path = folder / layout.ENVELOPE
    if not path.exists():
        if keys is None:
            return None
        raise Fault(f"{layout.ENVELOPE} is missing: the manifest is not signed")
    text = _bytes(path)
    try:
        envelope = SignedBytes.from_json(text)
    except NotVerified as error:
        raise Fault(f"{layout.ENVELOPE}: {error}") from error
    if envelope.to_json() != text:
        raise Fault(f"{layout.ENVELOPE} is not as it was written")
    if envelope.payload != content:
        raise Fault(f"{layout.MANIFEST} is not the one that was signed")
    if keys is None:
        return None
    try:
        return verified(envelope, layout.PAYLOAD_TYPE, keys)
    except NotVerified as error:
        raise Fault(f"{layout.ENVELOPE}: {error}") from error


def _same_files(folder: Path, expected: Mapping[str, tuple[str, int]]) -> None:
    own = {layout.MANIFEST, layout.ENVELOPE}
    folders = {"/".join(path.split("/")[:depth]) for path in expected for depth in range(1, path.count("/") + 1)}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise Fault(f"{name} is a symbolic link")
        if path.is_dir() and name in folders:
            continue
        if name not in expected and name not in own:
            raise Fault(f"{name} is not in the manifest: it was added")
    for name, (digest, size) in sorted(expected.items()):
        path = folder / name
        if not path.is_file():
            raise Fault(f"{name} is missing")
        if path.stat().st_size != size or digest_file(path) != f"sha256:{digest}":
            raise Fault(f"{name} was changed: its digest is not that of the manifest")


def read_json(path: Path) -> Any:
    """Raises Fault for a file that is no JSON."""
    try:
        return json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise Fault(f"{path.name} is no JSON: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Fault(f"{path.name} cannot be read: {error.strerror}") from error
