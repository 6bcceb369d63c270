"""Every environment variable of every service, from the settings classes."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generate.markdown import code, page, table

from chassis.env_example import Variable, variables

INTRODUCTION = """
Settings are environment variables, read once when a service starts; a file `.env` in the working folder has the same
variables ([.env.example](../../.env.example) is a template). The command line has a few variables of its own, listed
with its options in [commands](commands.md).
"""
TITLES = {"all services": "All services"}


def settings_page(services: Sequence[str]) -> str:
    found = variables(services)
    parts = [f"## {TITLES.get(title, title)}\n\n{_table(rows)}" for title, rows in found.items()]
    return page("Settings", "the settings classes", INTRODUCTION, parts)


def _table(rows: Sequence[Variable]) -> str:
    head = ("Variable", "Default", "Description")
    return table(head, ((code(row.name), code(row.default), _description(row)) for row in rows))


def _description(variable: Variable) -> str:
    choices = ", ".join(map(code, variable.choices))
    return f"{variable.description} ({choices})" if choices else variable.description
