"""Benchmarks as text: a row of a list, one with its figures, and the schedule of a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chassis.explain.quantities import duration
from gauntlet.output import console, local_time, print_table, shortened
from gauntlet.verdict_lines import number

LIST_HEADINGS = {
    "id": "id",
    "model": "model",
    "state": "state",
    "outcome": "better than baseline",
    "gain": "gain",
    "winner": "winner",
    "rows": "rows",
    "at": "completed",
    "reason": "reason",
}
COLUMNS = ("", "value", "from", "to", "rows", "gain", "from", "to", "note")


def list_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a benchmark in a list."""
    done = found["completed"] or {}
    return {
        "id": found["id"],
        "model": found["model_name"],
        "state": found["state"],
        "outcome": _beats(done) if done else None,
        "gain": number(done.get("gain")),
        "winner": _winner(done),
        "rows": found["due"]["rows"]["rows"],
        "at": local_time(found["completed_at"]) if found["completed_at"] else None,
        "reason": shortened(done.get("reason") or found["due"]["reason"]),
    }


def print_benchmark(found: Mapping[str, Any], gatekeeper: str) -> None:
    """Print a benchmark: the figures of each version and baseline, how it ended, and where the files are."""
    done, due = found["completed"], found["due"]
    if done is None:
        console().print(
            f"benchmark {found['id']} is due on {due['rows']['rows']:,} rows: {due['reason']}", markup=False
        )
        return
    if done["figures"]:
        title = f"{done['metric']} of {found['model_name']} on {due['rows']['rows']:,} labelled production rows"
        print_table(COLUMNS, [_figure(each, done) for each in done["figures"]], title=title)
    lines = [
        f"{_in_words(done)}: {done['reason']}",
        f"winner: {_winner(done) or 'none'}",
        f"results: {done['results_uri'] or '–'}",
        f"page: {gatekeeper}/benchmarks/{found['id']}/page",
    ]
    if found.get("tournament"):
        played = found["tournament"]
        won = f"v{played['winner']} won" if played["winner"] else "nobody won"
        lines.append(f"tournament on these rows: {won}: {played['reason']}")
    elif done["tournament"]:
        lines.append("a tournament on these rows follows")
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)


def print_schedule(found: Mapping[str, Any]) -> None:
    """Print when the next benchmark of a model is due."""
    every = found["every_seconds"]
    rows = [
        ("every", None if every is None else duration(timedelta(seconds=every))),
        ("next", local_time(found["next_at"]) if found["next_at"] else None),
        ("state", found["reason"]),
        *([("waited", found["waits"])] if found["waits"] not in (None, found["reason"]) else []),
        ("labelled rows", f"{found['labelled']:,}"),
        ("running", found["running"]),
        ("newest", found["newest"]),
    ]
    print_table(("", ""), rows)


def _figure(each: Mapping[str, Any], done: Mapping[str, Any]) -> tuple[Any, ...]:
    version = each["model_version"]
    name = each["name"] if version is not None else f"baseline: {each['name']}"
    champion = " (champion)" if version is not None and version == done["model_version"] else ""
    figures = (number(each[key]) for key in ("value", "low", "high"))
    gains = (number(each[key]) for key in ("gain", "gain_low", "gain_high"))
    return f"{name}{champion}", *figures, f"{each['rows']:,}", *gains, each["problem"]


def _beats(done: Mapping[str, Any]) -> str:
    return {True: "yes", False: "ALERT: no", None: "unknown"}[done.get("beats_baseline")]


def _in_words(done: Mapping[str, Any]) -> str:
    beats = done.get("beats_baseline")
    if beats is None:
        return "whether the champion is better than the trivial baseline is not known"
    if beats:
        return "the champion is better than the trivial baseline"
    return "ALERT: the champion is not shown to be better than the trivial baseline"


def _winner(done: Mapping[str, Any]) -> str | None:
    return f"v{done['winner']}" if done.get("winner") else None
