"""What a section of a policy expects, in words: for errors that say what to write instead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from chassis.yaml_file import models_in
from contracts.durations import written
from contracts.policy import ModelPolicy
from contracts.section import Section

SHOWN_KEYS = 2


def mapping_meant(location: Sequence[Any], value: Any, got: str) -> str:
    """Say what is expected where a section, or a mapping of names, is not what was written."""
    path = tuple(step for step in location if isinstance(step, str))
    field = all_keys().get(path)
    section = next((each for each in models_in(field.annotation) if issubclass(each, Section)), None) if field else None
    if section is None:
        example = _flow(field.examples[0]) if field is not None and field.examples else "{key: …}"
        return f"must be a mapping, such as {example} {got}"
    example = _example(section)
    if value is None:
        return f"is empty; it is a mapping, such as {example}: leave the key out for its defaults"
    if value is True or value == "on":
        return f"must be a mapping, such as {example}; {{}} is its defaults {got}"
    if value is False or value in ("off", "none"):
        return f"must be a mapping, such as {example} {got}: {section.if_off}"
    if meant := _meant(section, value):
        return f"must be a mapping; did you mean {meant}? {got}"
    return f"must be a mapping, such as {example} {got}"


def as_share(item: Any) -> str:
    """Return the share that a percentage means, where a number of at most 1 is expected; else nothing."""
    value, limits = item["input"], item.get("ctx") or {}
    if isinstance(value, str) and item["type"] == "float_parsing" and value.strip().endswith("%"):
        try:
            return f"; write {float(value.strip(' %')) / 100:g}"
        except ValueError:
            return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 1 in (limits.get("le"), limits.get("lt")) and 1 < value <= 100:
        return f"; did you mean {value / 100:g}?"
    return ""


@cache
def all_keys() -> dict[tuple[str, ...], FieldInfo]:
    """Return every key of a policy by its path, such as ("gates", "performance", "floor")."""
    keys: dict[tuple[str, ...], FieldInfo] = {}

    def collect(model: type[BaseModel], above: tuple[str, ...]) -> None:
        for name, field in model.model_fields.items():
            path = (*above, field.alias or name)
            keys[path] = field
            for part in models_in(field.annotation):
                collect(part, path)

    collect(ModelPolicy, ())
    return keys


def _meant(section: type[Section], value: Any) -> str | None:
    """Return the section with the value in the first of its keys that takes it."""
    if not isinstance(value, str | int | float):
        return None
    keys = list(section.model_fields.items())
    for name, field in keys if isinstance(value, str) else keys[:SHOWN_KEYS]:  # many keys take a number
        key = field.alias or name
        try:
            section.model_validate({key: value}, context={"written": True})
        except ValidationError:
            continue
        return f"{{{key}: {value}}}"
    return None


def _example(section: type[Section]) -> str:
    """Return the first keys of a section with their defaults, as YAML."""
    shown: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if len(shown) < SHOWN_KEYS and (field.is_required() or default is not None):
            shown[field.alias or name] = "…" if field.is_required() else default
    return _flow(shown or dict.fromkeys(list(section.model_fields)[:1], "…"))


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, BaseModel):
        keys = type(value).model_fields
        found = {field.alias or name: getattr(value, name) for name, field in keys.items()}
        return _flow(found) if len(keys) <= SHOWN_KEYS else "{…}"
    if isinstance(value, timedelta):
        return written(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)
