"""What a command prints: a table for people, or JSON for programs, never both on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPE_WIDTH = 200


def console() -> Console:
    """Return the console for results (standard output); a pipe gets long lines, not folded ones."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(highlight=False, emoji=False, width=width)  # the id a:b:0 is not an emoji


def notes() -> Console:
    """Return the console for progress and errors (standard error), so that output can be piped."""
    return Console(stderr=True, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print `value` as indented JSON; pydantic models, datetimes and paths are understood."""
    print(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print rows under headings; None is shown as a dash and square brackets are not markup."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")  # a truncated id is useless
    for row in rows:
        table.add_row(*("–" if cell is None else escape(str(cell)) for cell in row))
    console().print(table)


def print_listing(
    items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, empty: str = "nothing to show"
) -> None:
    """Print a listing: every field as JSON, or the chosen `columns` (field name to heading) as a table."""
    if as_json:
        print_json(list(items))
    elif not items:
        console().print(empty)
    else:
        print_table(list(columns.values()), [[item.get(field) for field in columns] for item in items])


def local_time(text: str) -> str:
    """Return an ISO 8601 time in this machine's zone, to the second."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shortened(text: str | None, most: int = 100) -> str | None:
    """Return the beginning of a text that may be too long for a table."""
    return text if text is None or len(text) <= most else text[: most - 1] + "…"


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
