"""Plays steps in order, shows each live, and summarises them; the first failure ends the story."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from gauntlet.demo.checks import StepFailed
from gauntlet.errors import CliError

Say = Callable[[str], None]


class Skipped(Exception):
    """A step that cannot be played here; the message has the reason."""


@dataclass(frozen=True)
class Step:
    """`play` returns what was observed, in words; it raises StepFailed or Skipped."""

    title: str
    play: Callable[[], str]


@dataclass(frozen=True)
class Played:
    title: str
    state: str
    """done, skipped or failed"""
    seen: str
    seconds: float


class Story:
    """`say` shows what a step is waiting for."""

    def __init__(self, console: Console) -> None:
        self.played: list[Played] = []
        self._console = console
        self._status: Status | None = None
        self._title = ""
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        if self._status is not None:
            self._status.update(f"{escape(self._title)} [dim]{escape(what)}[/]")

    def play(self, steps: Sequence[Step]) -> bool:
        """Play the steps; return False, with the reason shown, when one failed."""
        for step in steps:
            self._title = step.title
            began = time.monotonic()
            with self._console.status(escape(step.title)) as self._status:
                state, seen = _outcome(step)
            self._status = None
            self.played.append(Played(step.title, state, seen, time.monotonic() - began))
            self._show(self.played[-1])
            if state == "failed":
                return False
        return True

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def summary(self) -> Table:
        """Return a table: step, what was observed, seconds."""
        table = Table("", "step", "what was seen", title=f"{self.seconds:.0f} seconds", title_justify="left", box=None)
        table.add_column("s", justify="right")
        for played in self.played:
            table.add_row(_mark(played), escape(played.title), escape(played.seen), f"{played.seconds:.1f}")
        return table

    def _show(self, played: Played) -> None:
        self._console.print(
            f"{_mark(played)} [bold]{escape(played.title)}[/] [dim]{played.seconds:.1f} s[/]\n    {escape(played.seen)}"
        )


def _outcome(step: Step) -> tuple[str, str]:
    try:
        return "done", step.play()
    except Skipped as reason:
        return "skipped", f"not played: {reason}"
    except StepFailed as failure:
        return "failed", str(failure)
    except CliError as error:
        return "failed", f"{error.message} {error.hint or ''}".strip()


def _mark(played: Played) -> str:
    return {"done": "[green]✓[/]", "skipped": "[yellow]–[/]", "failed": "[red]✗[/]"}[played.state]
