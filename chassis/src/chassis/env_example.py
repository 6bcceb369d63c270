"""Prints `.env.example` from the settings classes: `python -m chassis.env_example trainer gatekeeper …`."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chassis.settings import ServiceSettings
from contracts.durations import written

WIDTH = 100
INTRODUCTION = """\
Every setting of every service, with its default. Copy this file to `.env` and uncomment what you
change. A variable of the environment takes precedence over the file.
Generated from the settings classes, do not edit by hand:
python -m chassis.env_example trainer gatekeeper serving drift > .env.example"""


@dataclass(frozen=True)
class Variable:
    """One environment variable: `default` as written in the file, `choices` where the values are enumerated."""

    name: str
    description: str
    default: str
    choices: tuple[str, ...]


def env_example(services: Sequence[str]) -> str:
    """Return the text of the file for `services`, each a package with a class `Settings` in its module `settings`."""
    blocks = [_section(title, found) for title, found in variables(services).items()]
    return "\n\n".join([_comment(INTRODUCTION), *blocks]) + "\n"


def variables(services: Sequence[str]) -> dict[str, list[Variable]]:
    """Return the variables shared by all services, under `all services`, then each service's own."""
    shared = [_variable(field, "") for field in ServiceSettings.model_fields.values() if field.alias]
    return {"all services": shared} | {service: list(_own(_settings_of(service))) for service in services}


def main(services: Sequence[str]) -> int:
    if not services:
        sys.stderr.write("usage: python -m chassis.env_example SERVICE [SERVICE …]\n")
        return 2
    try:
        sys.stdout.write(env_example(services))
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"no settings to read: {error}\n")
        return 1
    return 0


def _settings_of(service: str) -> type[ServiceSettings]:
    settings: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return settings


def _own(settings: type[ServiceSettings]) -> Iterator[Variable]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        if field.alias is None:
            yield _variable(field, prefix + name)


def _variable(field: FieldInfo, name: str) -> Variable:
    choices = tuple(str(word) for word in get_args(field.annotation) if isinstance(word, str))
    return Variable((field.alias or name).upper(), (field.description or "").strip(), _default(field), choices)


def _section(title: str, found: Iterable[Variable]) -> str:
    return "\n\n".join([f"# ---- {title} ".ljust(WIDTH, "-"), *(_line(variable) for variable in found)])


def _line(variable: Variable) -> str:
    choices = f" ({', '.join(variable.choices)})" if variable.choices else ""
    return f"{_comment(variable.description + choices)}\n# {variable.name}={variable.default}"


def _default(field: FieldInfo) -> str:
    """Return the default as text; empty if there is none, or if it is only known at run time."""
    return "" if field.is_required() or field.default_factory is not None else default_of(field.default)


def default_of(value: Any) -> str:
    """Return `value` as written in an environment file; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return written(value)
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, (list, tuple, set, dict)):
        return json.dumps(list(value) if not isinstance(value, dict) else value)
    return str(value.as_posix() if isinstance(value, Path) else value)


def _comment(text: str) -> str:
    lines = (line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, WIDTH - 2))
    return "\n".join(f"# {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
