"""Prints `.env.example` from the settings classes: `python -m chassis.env_example trainer gatekeeper …`."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chassis.settings import ServiceSettings

WIDTH = 100
INTRODUCTION = """\
Every setting of every service, with its default. Copy this file to `.env` and take the `#` away from
what you change. A variable of the environment wins over the file.
Generated from the settings classes, do not edit by hand:
python -m chassis.env_example trainer gatekeeper serving drift > .env.example"""


def env_example(services: Sequence[str]) -> str:
    """The text of the file for `services`, each a package with a class `Settings` in its module `settings`."""
    classes = {service: _settings_of(service) for service in services}
    shared = [_line(field) for field in ServiceSettings.model_fields.values() if field.alias]
    blocks = [_comment(INTRODUCTION), _section("all services", shared)]
    blocks += [_section(service, _own(settings)) for service, settings in classes.items()]
    return "\n\n".join(blocks) + "\n"


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


def _own(settings: type[ServiceSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        if field.alias is None:
            yield _line(field, prefix + name)


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n\n".join([f"# ---- {title} ".ljust(WIDTH, "-"), *lines])


def _line(field: FieldInfo, name: str = "") -> str:
    about = (field.description or "").strip() + _choices(field)
    return f"{_comment(about)}\n# {(field.alias or name).upper()}={_default(field)}"


def _choices(field: FieldInfo) -> str:
    words = [str(word) for word in get_args(field.annotation) if isinstance(word, str)]
    return f" ({', '.join(words)})" if words else ""


def _default(field: FieldInfo) -> str:
    """As it would be written; empty for none, and for one that is only known where the service runs."""
    value: Any = field.default
    if field.is_required() or field.default_factory is not None or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
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
