"""`gauntlet story`: what followed from one event, over all services, as a tree with durations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json
from gauntlet.output import console, print_json

AGGREGATES = ("mirror", "manifest")
STYLES = {"event": "cyan", "job": "", "decision": "magenta", "load": "green"}


def story(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="Correlation id, id of an event, or with VERSION the name of a model.")
    ],
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="The story in which this version was registered.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="With every job, ids, services, and where each step's time went.")
    ] = False,
    gatekeeper: GatekeeperUrl = None,
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show what followed from one event, such as a drift: every event, job, decision and load, and where time went.

    Steps in bold are the critical path, from the first event to the swap.
    """
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    if version is not None:
        [heading] = client.get("/stories", model=name, version=version)
        name = heading["correlation_id"]
    found = client.get(f"/stories/{quote(name, safe='')}")
    if as_json:
        print_json(found)
    else:
        _show(found, full=full)


def latest(
    model: Annotated[str | None, typer.Argument(metavar="NAME", help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="How many.")] = 20,
    gatekeeper: GatekeeperUrl = None,
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the newest stories: what each began with, and what happened last."""
    from contracts.event_summaries import elapsed
    from gauntlet.output import local_time, print_table, shortened
    from gauntlet.service_client import gatekeeper_client

    found = gatekeeper_client(gatekeeper, data_dir).get("/stories", model=model, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        console().print("no story yet: train or register a version, see gauntlet train --help")
        return
    rows = [
        (
            each["correlation_id"],
            ", ".join(each["model_names"]),
            local_time(each["begins"]),
            elapsed(_seconds(each["begins"], each["ends"])),
            shortened(each["first"], 50),
            shortened(each["last"], 50),
        )
        for each in found
    ]
    print_table(("story", "model", "begins", "took", "first", "last"), rows)


def _show(story: dict[str, Any], *, full: bool) -> None:
    from rich.tree import Tree

    from contracts.event_summaries import elapsed

    steps = [each for each in story["steps"] if full or each["on_path"] or each["name"] not in AGGREGATES]
    if not steps:
        raise CliError("the story has no steps", "Its events may have been pruned: GATEKEEPER_EVENT_LOG_DAYS")
    out = console()
    trees: dict[str | None, Any] = {}
    roots = []
    for step in steps:
        parent = trees.get(step["parent"])
        if parent is None:
            trees[step["id"]] = Tree(_words(step, full=full), guide_style="dim")
            roots.append(trees[step["id"]])
        else:
            trees[step["id"]] = parent.add(_words(step, full=full))
    for root in roots:
        out.print(root, soft_wrap=True)
    spent = ", ".join(f"{name} {elapsed(seconds)}" for name, seconds in story["spent"].items())
    end = "to the swap" if story["swapped"] else "to the last step"
    out.print(f"{elapsed(story['path_seconds'])} {end}{': ' + spent if spent else ''}", soft_wrap=True)
    out.print(f"story {story['correlation_id']}, {elapsed(story['seconds'])} in all", style="dim", soft_wrap=True)
    for note in (
        story["missing"],
        story["running"] and f"{len(story['running'])} jobs have not ended",
        story["left_out"] and f"{story['left_out']} events are not shown",
    ):
        if note:
            out.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)


def _words(step: dict[str, Any], *, full: bool) -> str:
    from rich.markup import escape

    from contracts.event_summaries import elapsed

    took = elapsed(_seconds(step["begins"], step["ends"])) if step["ends"] else "running"
    job = "job " if step["kind"] == "job" else ""
    version = f" v{step['model_version']}" if step["model_version"] else ""
    style = "red" if step["failed"] else STYLES[step["kind"]]
    style = f"bold {style}".strip() if step["on_path"] else style
    name = escape(f"{job}{step['name']}{version}")
    line = f"[{style}]{name}[/]" if style else name
    line += f" [dim]{took}[/]  {escape(step['text'])}"
    if not full:
        return line
    spans = "".join(f", {each['spent']} {elapsed(_seconds(each['begins'], each['ends']))}" for each in step["spans"])
    who = f", {step['who']}" if step["who"] else ""
    at = datetime.fromisoformat(step["ends"] or step["begins"]).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    audit = f", audit {', '.join(map(str, step['audit']))}" if step["audit"] else ""
    more = f"{at}, {step['service']}{who}{spans}{audit}, {step['id']}"
    return f"{line}\n[dim]{escape(more)}[/]"


def _seconds(begins: str, ends: str | None) -> float | None:
    return None if ends is None else (datetime.fromisoformat(ends) - datetime.fromisoformat(begins)).total_seconds()
