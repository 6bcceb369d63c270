"""Tournaments as text: entrants compared with the champion, differences, the winner or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gauntlet.output import console, print_table
from gauntlet.verdict_lines import number

COLUMNS = ("version", "compared", "metric", "its own", "champion", "better by", "from", "to", "bound", "n", "said")


def print_tournament(played: Mapping[str, Any]) -> None:
    """Print a tournament from its evidence: each entrant, then the outcome."""
    title = f"Tournament against champion v{played['champion_version']}"
    rows = [*_entrants(played), *_absent(played)]
    if rows:
        print_table(COLUMNS, rows, title=title)
    console().print(ending(played), markup=False, soft_wrap=True)


def ending(played: Mapping[str, Any]) -> str:
    """Return the winner in a sentence, or why there is none."""
    winner = played["winner"]
    return f"tournament: {f'v{winner} won' if winner else 'nobody won'}: {played['reason']}"


def again(found: Mapping[str, Any]) -> str:
    """Return the replayed outcome of a tournament in a sentence, next to the original one."""
    now, then = _who(found["now"]), _who(found["then"])
    if found["unknown"]:
        so_far = f"; as far as that goes, {now} wins" if found["now"] else ""
        return f"{then} won then, now that is not known: {found['unknown']}{so_far}"
    if found["now"] == found["then"]:
        return f"{now} wins, as then"
    return f"{now} would win, it was {then}: {found['reason']}"


def _who(version: int | None) -> str:
    return f"v{version}" if version else "nobody"


def _entrants(played: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for version, verdict in played["entrants"].items():
        details = verdict["details"]
        bound = details.get("needed_difference")
        if bound is None and isinstance(details.get("rule"), Mapping):
            bound = details["rule"].get("delta")
        figures = [details.get(field) for field in ("challenger", "champion", "difference", "lower", "upper")]
        won = " (won)" if str(played["winner"]) == version else ""
        outcome = f"{verdict['outcome']}{won}"
        n = None if verdict["n"] is None else f"{verdict['n']:,}"
        # Unmeasured entrants have no figures, only a reason.
        why = verdict["reason"] if figures[2] is None else None
        yield f"v{version}", outcome, verdict["metric"], *map(number, figures), number(bound), n, why


def _absent(played: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for version, why in played["absent"].items():
        yield f"v{version}", "not compared", *([None] * (len(COLUMNS) - 3)), why
