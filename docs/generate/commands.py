"""Every command with its arguments and options, from the command line's own description."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from docs.generate.markdown import code, page, paragraph, table

from chassis.env_example import default_of

INTRODUCTION = """
What `gauntlet COMMAND --help` prints. [The command line](cli.md) has an example of each command and says how commands
find the stack.
"""


def commands_page(app: typer.Typer) -> str:
    parts = [_part(path, command) for path, command in _leaves(typer.main.get_command(app), ())]
    return page("Commands", "the command line", INTRODUCTION, parts)


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[Sequence[str], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _leaves(child, (*path, name))


def _part(path: Sequence[str], command: Any) -> str:
    rows = [_row(parameter) for parameter in command.params]
    arguments = [row[0].strip("`") for row, parameter in zip(rows, command.params, strict=True) if _named(parameter)]
    title = " ".join(["gauntlet", *path])
    usage = " ".join([title, *arguments, "[OPTIONS]" if len(arguments) < len(rows) else ""]).strip()
    described = table(("Argument or option", "Default", "Variable", "Description"), rows) if rows else ""
    texts = [f"## {title}", code(usage), *map(paragraph, inspect.cleandoc(command.help).split("\n\n")), described]
    return "\n\n".join(filter(None, texts))


def _named(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _row(parameter: Any) -> tuple[str, str, str, str]:
    if _named(parameter):
        return code(parameter.metavar or parameter.name.upper()), "", parameter.envvar or "", parameter.help or ""
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    return code(names + value), _default(parameter), code(parameter.envvar or ""), parameter.help or ""


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.is_flag or parameter.default is None:
        return ""
    return code(default_of(parameter.default))
