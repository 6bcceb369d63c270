"""Policy files: YAML, validated; errors name the line and the nearest valid word."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from chassis import policy_words
from chassis.errors import Permanent
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy

LARGEST_FILE = 1024 * 1024
SHOWN = 200
"""Characters of a wrong value in a message."""
WRONG_KEYS = ("extra_forbidden", "missing")
ALMOST = 0.85
"""Likeness of a key to one of the same place from which on it is taken for that, and not for one of another place."""
BRANCHES = frozenset({"Delta", "Minimum", "Retained", "Performance", "shadow_stage", "canary_stage", "ab_stage"})
"""Mappings that a key of a policy takes beside words, by the name that pydantic gives in a location."""


class _Loader(yaml.SafeLoader):
    """Takes the keys `on`, `off`, `yes` and `no` as words; in YAML 1.1 they are booleans."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)  # takes in the keys of `<<: *other`
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:bool":
                    key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


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
        values = yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{path}: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # of YAML's own types, such as 2025-13-45
        raise PolicyError(f"{path}: a value is not what YAML takes it for: {error}") from error
    if not isinstance(values, dict):
        raise PolicyError(f"{path}: a policy is a mapping that begins with `model:`")
    try:
        return ModelPolicy.model_validate(values, context={"written": True})
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
    errors = error.errors()
    for item in errors:
        location, node = _in_file(root, item["loc"])
        message = _in_words(item, location, node)
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
    words = [name.strip("' ") for name in str(item.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]
    candidates = words if item["type"] == "literal_error" else list(METRICS) if "unknown metric" in item["msg"] else []
    said = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{said} {got}{_nearest(wrong, candidates) or policy_words.as_share(item)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _nearest(word: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _place(wrong: str, within: Sequence[Any]) -> str:
    """Return where this key belongs, or which key of this place, or of another, is the nearest."""
    known = [path for path in policy_words.all_keys() if path[:-1] != tuple(within) or path[-1] != wrong]
    here = [path[-1] for path in known if path[:-1] == tuple(within)]
    if difflib.get_close_matches(wrong, here, n=1, cutoff=ALMOST):
        return _nearest(wrong, here)
    if places := [path for path in known if path[-1] == wrong]:
        near = [path for path in places if path[:1] == tuple(within)[:1]] or places
        return f" in this place; it belongs to {' or '.join('.'.join(path) for path in near[:3])}"
    if nearest := _nearest(wrong, here):
        return nearest
    if wrong == "true" and "on" in here:
        return "; is it the key `on`? Programs that read YAML 1.1 take that for true and write it so"
    close = difflib.get_close_matches(wrong, [path[-1] for path in known], n=1, cutoff=0.75)
    if not close:
        return f"; known here: {', '.join(here)}" if here else ""
    return f"; did you mean {' or '.join('.'.join(path) for path in known if path[-1] == close[0])}?"


def _child(node: Any, step: Any) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _in_file(root: Any, location: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    """Return the steps of `location` that are keys of the file, and the node there, None if the last one is none.

    pydantic's location also contains branches of unions, and places of what a validator made of the file.
    """
    node, steps, found = root, [], None
    for step in location:
        found = _child(node, step)
        if found is not None:
            steps.append(step)
            node = found[1]
    return tuple(steps), node if found is not None else None


def _line(root: Any, location: Sequence[Any]) -> int:
    node, line = root, 1
    for step in location:
        found = _child(node, step)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
