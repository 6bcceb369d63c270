"""YAML files that people write: read with limits, and errors that name file, line, key and value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from chassis.errors import Permanent

LARGEST_FILE = 1024 * 1024
SHOWN = 200
"""Characters of a wrong value in a message."""

M = TypeVar("M", bound=BaseModel)


class YamlError(Permanent):
    """A file that cannot be used."""


class _Loader(yaml.SafeLoader):
    """Takes the keys `on`, `off`, `yes` and `no` as words; in YAML 1.1 they are booleans."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)  # takes in the keys of `<<: *other`
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:bool":
                    key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True)
class YamlFile:
    """One mapping: `values`, and `root`, the nodes that know where each value is written."""

    values: dict[Any, Any]
    root: Any

    def in_file(self, location: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Return the steps of `location` that are keys of the file, and the node there, None if the last one is none.

        pydantic's location also contains branches of unions, and places of what a validator made of the file.
        """
        node, steps, found = self.root, [], None
        for step in location:
            found = _child(node, step)
            if found is not None:
                steps.append(step)
                node = found[1]
        return tuple(steps), node if found is not None else None

    def line(self, location: Sequence[Any]) -> int:
        node, line = self.root, 1
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line


def read_yaml(content: bytes, path: Path, what: str, holds: str, begins: str) -> YamlFile:
    """Return the mapping that the bytes of a file hold. Raises YamlError, and no other error, whatever they are.

    `what` the file is, such as `policy`; `holds`: how much of it, such as `one policy of one model`; `begins`: its
    first key.
    """
    if len(content) > LARGEST_FILE:
        raise YamlError(f"{path}: {len(content):,} bytes are no {what}; at most {LARGEST_FILE:,} are read")
    try:
        text = content.decode("utf-8-sig")
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        if len(documents) > 1:
            line = documents[1].start_mark.line + 1
            raise YamlError(f"{path}:{line}: a second {what} begins here; a file holds {holds}")
        for key, line in _repeated(documents[0] if documents else None, set()):
            raise YamlError(f"{path}:{line}: key {key!r} is there a second time; leave one of them")
        values = yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: not a {what} in YAML: byte {error.start + 1} is no text in UTF-8") from error
    except yaml.YAMLError as error:
        raise YamlError(f"{path}: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # of YAML's own types, such as 2025-13-45
        raise YamlError(f"{path}: a value is not what YAML takes it for: {error}") from error
    if not isinstance(values, dict):
        raise YamlError(f"{path}: a {what} is a mapping that begins with `{begins}`")
    return YamlFile(values, documents[0])


def parse_yaml(content: bytes, path: Path, model: type[M], what: str, begins: str) -> M:
    """Return the file as `model`. Raises YamlError, a line for each error: file, line, key, expectation and value."""
    return located_yaml(content, path, model, what, begins)[1]


def located_yaml(content: bytes, path: Path, model: type[M], what: str, begins: str) -> tuple[YamlFile, M]:
    """As `parse_yaml`, with the file, which knows the line of each value."""
    file = read_yaml(content, path, what, f"one {what}", begins)
    try:
        return file, model.model_validate(file.values, context={"written": True})
    except ValidationError as error:
        raise YamlError("\n".join(_explained(path, file, model, error))) from error
    except ArithmeticError as error:  # such as a duration of 10¹² days
        raise YamlError(f"{path}: a value is out of range: {error}") from error


def nearest(word: str, candidates: Sequence[str]) -> str:
    """Return which of the candidates was meant, as the end of a sentence; nothing if none is near."""
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def expected_words(item: Any) -> list[str]:
    """Return the words that pydantic would have taken where it found another one."""
    expected = str(item.get("ctx", {}).get("expected", ""))
    return [name.strip("' ") for name in expected.replace(" or ", ",").split(",")]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _explained(path: Path, file: YamlFile, model: type[BaseModel], error: ValidationError) -> Iterable[str]:
    errors = error.errors()
    for item in errors:
        location = item["loc"]
        if item["type"] == "too_short" and any(each["loc"][:-1] == location for each in errors):
            continue  # also said of a list whose items are wrong
        where = ".".join(str(step) for step in location) or "the file"
        if item["type"] == "extra_forbidden":
            known = _keys(model, location[:-1])
            message = f"unknown key{nearest(str(location[-1]), known) or '; known here: ' + ', '.join(known)}"
            yield f"{path}:{file.line(location)}: {where}: {message}"
            continue
        got = "" if item["type"] == "missing" else f" (got {repr(item.get('input'))[:SHOWN]})"
        near = (
            nearest(str(item.get("input")), expected_words(item)) if item["type"] in ("enum", "literal_error") else ""
        )
        message = item["msg"].removeprefix("Value error, ")
        yield f"{path}:{file.line(location)}: {where}: {message}{got}{near}"


def _keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Return the keys that a mapping at this place of the file may have."""
    models = [model]
    for step in location:
        fields = [
            field for each in models for name, field in each.model_fields.items() if (field.alias or name) == step
        ]
        models = [part for field in fields for part in models_in(field.annotation)] or models
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _repeated(node: Any, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Return keys that a mapping has twice, with the line: YAML's parser silently takes the last one."""
    if node is None or id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item, seen)
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    yield key.value, key.start_mark.line + 1
                names.add(key.value)
            yield from _repeated(value, seen)


def _child(node: Any, step: Any) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
