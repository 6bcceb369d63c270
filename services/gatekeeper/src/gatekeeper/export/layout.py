"""The files of exported evidence, and the manifest that holds the digest of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from chassis.errors import Permanent

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.gauntlet.evidence+json"
"""Of the DSSE envelope whose payload is the manifest."""

MANIFEST = "manifest.json"
ENVELOPE = "manifest.dsse.json"
VERDICT = "verdict.json"
EVIDENCE = "evidence.json"
POLICY = "policy.json"
DATASETS = "datasets.json"
DECISIONS = "decisions.json"
EVENTS = "events.jsonl"
AUDIT = "audit.jsonl"
AUDIT_HEAD = "audit-head.jsonl"
MODEL_FILES = "model-files.json"
CARD = "model-card.json"
CARD_TEXT = "model-card.md"
BOM = "bom.cdx.json"
OBJECTS = "objects"
"""Folder of the arrays of the evidence and of golden rows, each named by its digest."""


def object_path(digest: str) -> str:
    return f"{OBJECTS}/{digest.removeprefix('sha256:')}.parquet"


def manifest_of(model_name: str, model_version: int, created_at: str, files: Mapping[str, tuple[str, int]]) -> bytes:
    """Return the manifest. `files`: SHA-256 and number of bytes by path."""
    return to_json(
        {
            "format": FORMAT,
            "model": model_name,
            "version": model_version,
            "created_at": created_at,
            "files": {path: {"sha256": digest, "bytes": size} for path, (digest, size) in sorted(files.items())},
        }
    )


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def safe_path(path: str) -> str:
    """Return a path within the folder. Raises Permanent for another one."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ":" in path or any(part in ("..", ".") for part in parts):
        raise Permanent(f"{path!r} is no path within the folder")
    return path
