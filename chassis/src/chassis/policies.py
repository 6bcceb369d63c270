"""Policy files: YAML, validated; errors name the line and the nearest valid word."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from chassis import policy_words
from chassis.errors import Permanent
from chassis.yaml_file import SHOWN, YamlError, YamlFile, expected_words, nearest, read_yaml
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy

WRONG_KEYS = ("extra_forbidden", "missing")
ALMOST = 0.85
"""Likeness of a key to one of the same place from which on it is taken for that, and not for one of another place."""
BRANCHES = frozenset({"Delta", "Minimum", "Retained", "Performance", "shadow_stage", "canary_stage", "ab_stage"})
"""Mappings that a key of a policy takes beside words, by the name that pydantic gives in a location."""


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
    try:
        file = read_yaml(content, path, "policy", "one policy of one model", "model:")
    except YamlError as error:
        raise PolicyError(str(error)) from error
    try:
        return ModelPolicy.model_validate(file.values, context={"written": True})
    except ValidationError as error:
        raise PolicyError("\n".join(_explain(path, file, error))) from error
    except (ArithmeticError, RecursionError) as error:  # such as a duration of 10¹² days
        raise PolicyError(f"{path}: a value is out of range: {error}") from error


def shown(folder: Path) -> str:
    """Return a folder as its user names it: from the working directory when it is below that."""
    absolute = Path(os.path.abspath(folder))  # not resolve(): a link keeps its name
    here = Path.cwd()
    if absolute == here or here.parent == here or not absolute.is_relative_to(here):
        return f"{absolute}/"
    return f"{absolute.relative_to(here)}/"


def _explain(path: Path, file: YamlFile, error: ValidationError) -> Iterable[str]:
    seen: set[tuple[tuple[Any, ...], str]] = set()
    errors = error.errors()
    for item in errors:
        location, node = file.in_file(item["loc"])
        message = _in_words(item, location, node)
        if (location, message) in seen or _is_noise(item, errors):
            continue
        seen.add((location, message))
        where = ".".join(str(step) for step in location)
        yield f"{path}:{file.line(location)}: {where or 'policy'}: {message}"


def _is_noise(item: Any, errors: Sequence[Any]) -> bool:
    """Whether an error is redundant: pydantic reports every branch of a union.

    The branch `false` is unhelpful; so is a word where a mapping was written, and a mapping of other keys where those
    of another branch were.
    """
    location = item["loc"]
    if item["type"] == "too_short":  # also said of a list whose items are wrong
        return any(len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in errors)
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


def _in_words(item: Any, location: Sequence[Any], node: Any) -> str:
    wrong = str(item["loc"][-1]) if item["type"] == "extra_forbidden" else str(item["input"])[:SHOWN]
    if item["type"] == "extra_forbidden":
        within = [step for step in location[:-1] if isinstance(step, str)]
        return f"unknown key {wrong!r}{_place(wrong, within)}"
    if item["type"] == "missing":
        return f"{item['loc'][-1]} is missing"
    written = node.value if isinstance(node, yaml.ScalarNode) and not isinstance(item["input"], str) else None
    got = f"(got {_short(item['input']) if written is None else written[:SHOWN]})"
    if item["type"] in ("model_type", "dict_type", "dataclass_type", "model_attributes_type"):
        return policy_words.mapping_meant(location, item["input"], got)
    if item["type"] in ("tuple_type", "list_type"):
        return f"must be a list, such as [{item['input'] if isinstance(item['input'], str) else '…'}] {got}"
    if not item["loc"]:  # of the whole file, which need not be repeated
        return str(item["msg"]).removeprefix("Value error, ")
    words = expected_words(item)
    candidates = words if item["type"] == "literal_error" else list(METRICS) if "unknown metric" in item["msg"] else []
    said = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{said} {got}{nearest(wrong, candidates) or policy_words.as_share(item)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _place(wrong: str, within: Sequence[Any]) -> str:
    """Return where this key belongs, or which key of this place, or of another, is the nearest."""
    known = [path for path in policy_words.all_keys() if path[:-1] != tuple(within) or path[-1] != wrong]
    here = [path[-1] for path in known if path[:-1] == tuple(within)]
    if difflib.get_close_matches(wrong, here, n=1, cutoff=ALMOST):
        return nearest(wrong, here)
    if places := [path for path in known if path[-1] == wrong]:
        near = [path for path in places if path[:1] == tuple(within)[:1]] or places
        return f" in this place; it belongs to {' or '.join('.'.join(path) for path in near[:3])}"
    if likely := nearest(wrong, here):
        return likely
    if wrong == "true" and "on" in here:
        return "; is it the key `on`? Programs that read YAML 1.1 take that for true and write it so"
    close = difflib.get_close_matches(wrong, [path[-1] for path in known], n=1, cutoff=0.75)
    if not close:
        return f"; known here: {', '.join(here)}" if here else ""
    return f"; did you mean {' or '.join('.'.join(path) for path in known if path[-1] == close[0])}?"
