"""Policies: YAML files, validated at start; errors name the line and the nearest valid word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from chassis.errors import Permanent
from contracts.policy import METRICS, ModelPolicy

WRONG_KEYS = ("extra_forbidden", "missing")
BRANCHES = frozenset({"Delta", "Minimum", "Retained", "Performance"})
"""Mappings that a key of a policy takes beside words, by the name that pydantic gives in a location."""


class PolicyError(Permanent):
    """A policy file that cannot be used."""


def load_policies(folder: Path) -> dict[str, ModelPolicy]:
    """Load all `*.yaml` of `folder`, by model name. Raises PolicyError for the first invalid file, with the lines."""
    if not folder.is_dir():
        raise PolicyError(
            f"the folder of policies, {folder.resolve()}, does not exist; create it, or name another one (POLICIES_DIR)"
        )
    policies: dict[str, ModelPolicy] = {}
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        policy = load_policy(path)
        if policy.model in policies:
            raise PolicyError(f"{path}: a second policy for model {policy.model!r}")
        policies[policy.model] = policy
    return policies


def load_policy(path: Path) -> ModelPolicy:
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise PolicyError(f"{path}: a policy is a mapping that begins with `model:`")
    try:
        return ModelPolicy.model_validate(content)
    except ValidationError as error:
        raise PolicyError("\n".join(_explain(path, text, error))) from error


def _explain(path: Path, text: str, error: ValidationError) -> Iterable[str]:
    root = yaml.compose(text)
    seen: set[tuple[tuple[Any, ...], str]] = set()
    errors = error.errors()
    for item in errors:
        location = tuple(step for step in item["loc"] if _is_in_file(root, item["loc"], step))
        message = _in_words(item, location)
        if (location, message) in seen or _is_noise(item, errors):
            continue
        seen.add((location, message))
        where = ".".join(str(step) for step in location)
        yield f"{path}:{_line(root, location)}: {where or 'policy'}: {message}"


def _is_noise(item: Any, errors: Sequence[Any]) -> bool:
    """Whether an error is redundant: pydantic reports every branch of a union.

    The branch `false` is unhelpful; so is a word where a mapping was written, and a mapping of other keys where those
    of another branch were.
    """
    location = item["loc"]
    if item["type"] == "literal_error":
        is_mapping = isinstance(item["input"], dict) and any(
            other["loc"][: len(location) - 1] == location[:-1] and other is not item for other in errors
        )
        return bool(item["ctx"]["expected"] == "False" or is_mapping)
    if item["type"] not in WRONG_KEYS or len(location) < 2 or location[-2] not in BRANCHES:
        return False
    union = location[:-2]
    beside = [other for other in errors if other["loc"][: len(union)] == union and other["loc"] != location]
    branches = {other["loc"][len(union)] for other in beside if len(other["loc"]) > len(union) + 1}
    return any(
        all(other["type"] not in WRONG_KEYS for other in beside if other["loc"][: len(union) + 1] == (*union, branch))
        for branch in branches - {location[-2]}
        if branch in BRANCHES
    )


def _in_words(item: Any, location: Sequence[Any]) -> str:
    wrong = str(item["loc"][-1]) if item["type"] == "extra_forbidden" else str(item["input"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {wrong!r}{_place(wrong, location[:-1])}"
    if item["type"] == "missing":
        return f"{item['loc'][-1]} is missing"
    if item["type"] in ("model_type", "dict_type", "dataclass_type", "model_attributes_type"):
        return f"must be a mapping, such as {{key: value}} (got {item['input']!r})"
    if not item["loc"]:  # of the whole file, which need not be repeated
        return str(item["msg"]).removeprefix("Value error, ")
    words = [name.strip("' ") for name in str(item.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]
    candidates = words if item["type"] == "literal_error" else list(METRICS) if "unknown metric" in item["msg"] else []
    return f"{item['msg'].removeprefix('Value error, ')} (got {item['input']!r}){_nearest(wrong, candidates)}"


def _nearest(word: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _place(wrong: str, within: Sequence[Any]) -> str:
    """Return where this key belongs, or which key of this place, or of another, is the nearest."""
    known = [path for path in _all_keys() if path[:-1] != tuple(within) or path[-1] != wrong]
    if places := [path for path in known if path[-1] == wrong]:
        near = [path for path in places if path[:1] == tuple(within)[:1]] or places
        return f" in this place; it belongs to {' or '.join('.'.join(path) for path in near[:3])}"
    here = [path[-1] for path in known if path[:-1] == tuple(within)]
    if near := _nearest(wrong, here):
        return near
    close = difflib.get_close_matches(wrong, [path[-1] for path in known], n=1, cutoff=0.75)
    if not close:
        return f"; known here: {', '.join(here)}" if here else ""
    return f"; did you mean {' or '.join('.'.join(path) for path in known if path[-1] == close[0])}?"


def _all_keys() -> list[tuple[str, ...]]:
    """Return the path of every key of a policy, such as ("gates", "performance", "floor")."""
    keys: dict[tuple[str, ...], None] = {}

    def collect(model: type[BaseModel], above: tuple[str, ...]) -> None:
        for name, field in model.model_fields.items():
            keys[(*above, name)] = None
            for part in _models_in(field.annotation):
                collect(part, (*above, name))

    collect(ModelPolicy, ())
    return list(keys)


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
