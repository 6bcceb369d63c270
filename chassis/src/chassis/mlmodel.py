"""Reads a model's `MLmodel` file without executing any of its code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

LARGEST = 4 * 1024 * 1024
OPENED = ("code", "data", "model_path", "pickled_model", "python_model")
"""Keys of a flavour whose file or folder MLflow opens, relative to the model's own folder."""
TENSOR_KINDS = {"float64": "double", "float32": "float", "int64": "long", "int32": "integer", "bool": "boolean"}
"""Kinds of columns by the type of a matrix. Text is none: MLflow refuses the matrix that it makes of a table of it."""
WIDEST = 100_000


@dataclass(frozen=True)
class MLmodel:
    """`inputs`: the columns of the signature, in order; those of a matrix are named by their position, from "0" on.

    None when there are no columns, as of other tensors.
    """

    has_signature: bool = False
    inputs: tuple[str, ...] | None = None
    classes: tuple[Any, ...] | None = None
    roles: Mapping[str, Any] = field(default_factory=dict)
    """metadata["gauntlet"]: label, entity, event_time, …"""
    outputs: str | None = None
    """The signature's outputs as canonical text: equal for equal outputs."""
    kinds: tuple[str, ...] | None = None
    """MLflow type names of the inputs; None when one of them has no simple type."""
    optional: tuple[str, ...] = ()
    """Names of the inputs that rows may lack."""


def read(folder: Path) -> MLmodel:
    """Read the signature and the Gauntlet metadata. Raises ValueError as `content` does."""
    said = content(folder)
    signature = said.get("signature")
    signature = signature if isinstance(signature, dict) else {}
    metadata = said.get("metadata")
    roles = metadata.get("gauntlet") if isinstance(metadata, dict) else None
    roles = roles if isinstance(roles, dict) else {}
    classes = roles.get("classes")
    inputs, kinds = _matrix(signature.get("inputs")) or (
        _texts(signature.get("inputs"), "name"),
        _texts(signature.get("inputs"), "type"),
    )
    return MLmodel(
        has_signature=bool(signature.get("inputs") and signature.get("outputs")),
        inputs=inputs,
        kinds=kinds,
        optional=_optional(signature.get("inputs")),
        outputs=_canonical(signature.get("outputs")),
        classes=tuple(classes) if isinstance(classes, list) and classes else None,
        roles=roles,
    )


def by_position(names: tuple[str, ...]) -> bool:
    """Return whether columns are named by their position: of a matrix, or of a frame without names."""
    return names == tuple(map(str, range(len(names))))


def content(folder: Path) -> Mapping[str, Any]:
    """Parse the file. Raises ValueError when the folder contains no MLflow model, or the file is too large, or names a
    file outside the folder, whose content no digest covers."""
    path = folder / "MLmodel"
    if not path.is_file():
        raise ValueError("the artifact is not an MLflow model: it has no MLmodel file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"the MLmodel file is larger than {LARGEST} bytes")
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the MLmodel file cannot be read: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(found, dict):
        raise ValueError("the MLmodel file is no mapping")
    for key, named in _opened(found):
        if PurePosixPath(named).is_absolute() or ".." in PurePosixPath(named).parts:
            raise ValueError(f"the MLmodel file names {named[:200]!r} as {key}, outside the folder of the model")
    return found


def _opened(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the files and folders that loading the model opens, with the key that names each."""
    flavours = said.get("flavors")
    for flavour in flavours.values() if isinstance(flavours, dict) else ():
        if not isinstance(flavour, dict):
            continue
        named = [(key, flavour.get(key)) for key in OPENED]
        artifacts = flavour.get("artifacts")
        for one in artifacts.values() if isinstance(artifacts, dict) else ():
            named.append(("artifact", one.get("path") if isinstance(one, dict) else None))
        yield from ((key, value) for key, value in named if isinstance(value, str))
    example = said.get("saved_input_example_info")
    if isinstance(example, dict) and isinstance(path := example.get("artifact_path"), str):
        yield "input example", path


def _canonical(outputs: Any) -> str | None:
    try:
        return json.dumps(json.loads(outputs), sort_keys=True)
    except (TypeError, ValueError):
        return None


def _texts(inputs: Any, key: str) -> tuple[str, ...] | None:
    columns = _columns(inputs)
    given = [column.get(key) for column in columns if isinstance(column, dict)]
    texts = [str(text) for text in given if isinstance(text, str) or type(text) is int]  # an unnamed frame's are 0, 1
    return tuple(texts) if texts and len(texts) == len(columns) else None


def _matrix(inputs: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return names and kinds of the columns of a matrix, the only input; None for any other signature."""
    try:
        (only,) = _columns(inputs)
        (rows, width), dtype = only["tensor-spec"]["shape"], only["tensor-spec"]["dtype"]
        if only.get("name") or rows != -1 or type(width) is not int or not 0 < width <= WIDEST:
            return None
        return tuple(map(str, range(width))), (TENSOR_KINDS[dtype],) * width
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _optional(inputs: Any) -> tuple[str, ...]:
    found = [each for each in _columns(inputs) if isinstance(each, dict) and each.get("required") is False]
    return tuple(each["name"] for each in found if isinstance(each.get("name"), str))


def _columns(inputs: Any) -> list[Any]:
    try:
        columns = json.loads(inputs)
    except (TypeError, ValueError):
        return []
    return columns if isinstance(columns, list) else []
