"""What a model says of itself: its `MLmodel` file, read without running anything of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True)
class MLmodel:
    """`inputs`: the columns that the signature names, in order; None when it names none (tensors)."""

    has_signature: bool = False
    inputs: tuple[str, ...] | None = None
    classes: tuple[Any, ...] | None = None
    roles: Mapping[str, Any] = field(default_factory=dict)
    """metadata["gauntlet"]: label, entity, event_time, …"""
    outputs: str | None = None
    """What the signature says of the answers, as text that is equal for equal outputs."""
    kinds: tuple[str, ...] | None = None
    """Of the inputs, MLflow's names of their types; None when one of them has no simple type."""


def read(folder: Path) -> MLmodel:
    """What its signature and its Gauntlet metadata say. Raises ValueError as `content`."""
    said = content(folder)
    signature = said.get("signature")
    signature = signature if isinstance(signature, dict) else {}
    metadata = said.get("metadata")
    roles = metadata.get("gauntlet") if isinstance(metadata, dict) else None
    roles = roles if isinstance(roles, dict) else {}
    classes = roles.get("classes")
    return MLmodel(
        has_signature=bool(signature.get("inputs") and signature.get("outputs")),
        inputs=_texts(signature.get("inputs"), "name"),
        kinds=_texts(signature.get("inputs"), "type"),
        outputs=_canonical(signature.get("outputs")),
        classes=tuple(classes) if isinstance(classes, list) and classes else None,
        roles=roles,
    )


def content(folder: Path) -> Mapping[str, Any]:
    """The file as it is. Raises ValueError when the folder holds no MLflow model, or one too large to be read."""
    path = folder / "MLmodel"
    if not path.is_file():
        raise ValueError("the artifact is no MLflow model: it has no MLmodel file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"the MLmodel file is larger than {LARGEST} bytes")
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the MLmodel file cannot be read: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(found, dict):
        raise ValueError("the MLmodel file is no mapping")
    return found


def _canonical(outputs: Any) -> str | None:
    try:
        return json.dumps(json.loads(outputs), sort_keys=True)
    except (TypeError, ValueError):
        return None


def _texts(inputs: Any, key: str) -> tuple[str, ...] | None:
    try:
        columns = json.loads(inputs)
    except (TypeError, ValueError):
        return None
    if not isinstance(columns, list):
        return None
    texts = [column[key] for column in columns if isinstance(column, dict) and isinstance(column.get(key), str)]
    return tuple(texts) if texts and len(texts) == len(columns) else None
