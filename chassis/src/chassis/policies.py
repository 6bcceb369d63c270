"""Policy files: YAML, validated; errors name the line and the nearest valid word."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from chassis.errors import Permanent
from contracts.policy import METRICS, ModelPolicy

LARGEST_FILE = 1024 * 1024
SHOWN = 200
"""Characters of a wrong value in a message."""


class PolicyError(Permanent):
    """A policy file that cannot be used."""


def load_policy(path: Path) -> ModelPolicy:
    """Return the policy of one file. Raises PolicyError, with the lines."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror or error}") from error
    return parse_policy(content, path)


def parse_policy(content: bytes, path: Path) -> ModelPolicy:
    """Return the policy that the bytes of a file hold. Raises PolicyError, and no other error, whatever they are."""
    if len(content) > LARGEST_FILE:
        raise PolicyError(f"{path}: {len(content):,} bytes are no policy; at most {LARGEST_FILE:,} are read")
    try:
        text = content.decode("utf-8-sig")
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        if len(documents) > 1:
            line = documents[1].start_mark.line + 1
            raise PolicyError(f"{path}:{line}: a second policy begins here; a file holds one policy of one model")
        for key, line in _repeated(documents[0] if documents else None, set()):
            raise PolicyError(f"{path}:{line}: key {key!r} is there a second time; leave one of them")
        values = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{path}: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # of YAML's own types, such as 2025-13-45
        raise PolicyError(f"{path}: a value is not what YAML takes it for: {error}") from error
    if not isinstance(values, dict):
        raise PolicyError(f"{path}: a policy is a mapping that begins with `model:`")
    try:
        return ModelPolicy.model_validate(values)
    except ValidationError as error:
        raise PolicyError("\n".join(_explain(path, text, error))) from error
    except (ArithmeticError, RecursionError) as error:  # such as a duration of 10¹² days
        raise PolicyError(f"{path}: a value is out of range: {error}") from error


def shown(folder: Path) -> str:
    """Return a folder as its user names it: from the working directory when it is below that."""
    absolute = Path(os.path.abspath(folder))  # not resolve(): a link keeps its name
    here = Path.cwd()
    if absolute == here or here.parent == here or not absolute.is_relative_to(here):
        return f"{absolute}/"
    return f"{absolute.relative_to(here)}/"


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


def _explain(path: Path, text: str, error: ValidationError) -> Iterable[str]:
    root = yaml.compose(text)
    seen: set[tuple[tuple[Any, ...], str]] = set()
    for item in error.errors():
        location = tuple(step for step in item["loc"] if _is_in_file(root, item["loc"], step))
        message = _in_words(item)
        if (location, message) in seen or _is_noise(item):
            continue
        seen.add((location, message))
        where = ".".join(str(step) for step in location)
        yield f"{path}:{_line(root, location)}: {where or 'policy'}: {message}"


def _is_noise(item: Any) -> bool:
    """Whether an error is redundant: pydantic reports every branch of a union, and the branch `false` is unhelpful."""
    return bool(item["type"] == "literal_error" and item["ctx"]["expected"] == "False")


def _in_words(item: Any) -> str:
    wrong = str(item["loc"][-1]) if item["type"] == "extra_forbidden" else str(item["input"])[:SHOWN]
    if item["type"] == "extra_forbidden":
        places = _all_keys()
        if elsewhere := places.get(wrong):
            return f"key {wrong!r} is at the wrong place; it belongs {' or '.join(elsewhere)}"
        return f"unknown key {wrong!r}{_nearest(wrong, list(places))}"
    if item["type"] == "missing":
        return f"{item['loc'][-1]} is missing"
    words = [name.strip("' ") for name in str(item.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]
    candidates = words if item["type"] == "literal_error" else list(METRICS) if "unknown metric" in item["msg"] else []
    return f"{item['msg'].removeprefix('Value error, ')} (got {_short(item['input'])}){_nearest(wrong, candidates)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _nearest(word: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _all_keys() -> dict[str, list[str]]:
    """Return the keys of a policy, each with the places where it may be."""
    keys: dict[str, list[str]] = {}

    def collect(model: type[BaseModel], place: tuple[str, ...]) -> None:
        for name, field in model.model_fields.items():
            where = f"under {'.'.join(place)}" if place else "at the top"
            keys.setdefault(name, []).append(where)
            for part in _models_in(field.annotation):
                collect(part, (*place, name))

    collect(ModelPolicy, ())
    return keys


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _child(node: Any, step: Any) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _is_in_file(root: Any, location: Sequence[Any], step: Any) -> bool:
    """Whether `step` is a key of the file: pydantic's location also contains branches of unions."""
    node = root
    for part in location:
        found = _child(node, part)
        if found is not None:
            node = found[1]
            if part == step:
                return True
    return False


def _line(root: Any, location: Sequence[Any]) -> int:
    node, line = root, 1
    for step in location:
        found = _child(node, step)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
