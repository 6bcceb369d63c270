"""docs/reference/cli.md: every command has an example, and every example is one that the command line understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gauntlet.cli import app

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
EXAMPLES = re.findall(r"^\| `gauntlet ([^`]+)`", PAGE.read_text(), re.MULTILINE)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


DEFAULTS = {"audit": ("audit", "show"), "evidence": ("evidence", "export")}
"""`audit NAME`, `evidence NAME VERSION`."""


def command_of(words: list[str]) -> tuple[str, ...] | None:
    found = next((path for path in COMMANDS if tuple(words[: len(path)]) == path), None)
    return found or DEFAULTS.get(words[0])


def test_every_command_has_an_example() -> None:
    shown = {command_of(shlex.split(example)) for example in EXAMPLES}
    assert set(COMMANDS) == shown


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example: str) -> None:
    words = shlex.split(example)
    path = command_of(words)
    assert path is not None
    given = words[len(path) :] if tuple(words[: len(path)]) == path else words[1:]
    COMMANDS[path].make_context(" ".join(path), given, resilient_parsing=False)
