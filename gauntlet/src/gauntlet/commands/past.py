"""`gauntlet replay` and `gauntlet what-if`: verdicts of the past reached again, and judged otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, ModelName, ModelVersion, count
from gauntlet.output import console, local_time, print_json, print_table, shortened
from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

MOST_DIFFERENCES = 20


def replay(
    name: ModelName,
    version: ModelVersion,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Reach a verdict again from its evidence; exit 1 when it does not agree to the last digit, and say where."""
    from gauntlet.arguments import model_name

    path = f"/models/{model_name(name)}/candidates/{version}/replay"
    found = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT).post(path, {})
    if as_json:
        print_json(found)
    elif found["agrees"]:
        console().print(f"{name} v{version}: {found['now']}, as it was, to the last digit of every gate", markup=False)
    else:
        console().print(f"{name} v{version} was {found['then']} and is {found['now']}; what differs:", markup=False)
        differences = found["differences"]
        print_table(("where", "then", "now"), [_row(each) for each in differences[:MOST_DIFFERENCES]])
        if len(differences) > MOST_DIFFERENCES:
            console().print(f"and {len(differences) - MOST_DIFFERENCES} more; all of them: --json", markup=False)
    if found["versions"] and not as_json:
        changed = ", ".join(f"{each['where']} {each['then']} → {each['now']}" for each in found["versions"])
        console().print(f"libraries that have changed since: {changed}", style="dim", markup=False)
    if not found["agrees"]:
        raise typer.Exit(1)


def what_if(
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="Another policy for the same model.")],
    since: Annotated[
        datetime | None, typer.Option("--since", metavar="TIME", help="Only candidates judged since then.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", parser=count, help="At most so many, newest first.")
    ] = 100,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Judge a model's past again under another policy, and print what would have changed. Nothing is changed."""
    from chassis.policies import PolicyError, load_policy

    try:
        wanted = load_policy(policy)
    except PolicyError as error:
        raise CliError(str(error), "See: gauntlet policy check FILE") from error
    body: dict[str, Any] = {"policy": wanted.model_dump(mode="json"), "limit": limit}
    if since is not None:
        body["since"] = (since if since.tzinfo else since.astimezone(UTC)).isoformat()
    found = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT).post("/what-if", body)
    if as_json:
        print_json(found)
        return
    if not found:
        console().print(f"{wanted.model}: no candidate was judged{' since then' if since else ''}", markup=False)
        return
    print_table(("version", "judged", "then", "under this policy", "because"), [_judged(each) for each in found])
    changed = sum(each["now"] not in (None, each["then"]) for each in found)
    console().print(f"{changed} of {len(found)} verdicts would be another", markup=False)


def _row(difference: Mapping[str, Any]) -> tuple[Any, ...]:
    return difference["where"], shortened(str(difference["then"])), shortened(str(difference["now"]))


def _judged(each: Mapping[str, Any]) -> tuple[Any, ...]:
    because = each["problem"] or "; ".join(f"{gate}: {reason}" for gate, reason in each["reasons"].items())
    gone = [gate for gate in each["changed"] if gate not in each["reasons"]]
    left_out = f"not asked: {', '.join(gone)}" if gone else None
    words = "; ".join(part for part in (because, left_out) if part)
    return f"v{each['model_version']}", local_time(each["judged_at"]), each["then"], each["now"], words or None
