"""`gauntlet replay` and `gauntlet what-if`: re-evaluate stored evidence under the original or another policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, ModelName, ModelVersion, count
from gauntlet.output import console, local_time, print_json, print_table, shortened

MOST_DIFFERENCES = 20


def replay(
    name: ModelName,
    version: ModelVersion,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Reach a verdict, the tournament on its golden rows, and each step of its rollouts, again from evidence.

    Exit 1 when they do not agree to the last digit, and say where.
    """
    from gauntlet.arguments import model_name
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    path = f"/models/{model_name(name)}/candidates/{version}/replay"
    found = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT).post(path, {})
    if as_json:
        print_json(found)
    else:
        played = found["tournament"]
        if found["differences"]:
            console().print(f"{name} v{version} was {found['then']} and is {found['now']}; what differs:", markup=False)
            print_differences(found["differences"])
        else:
            agrees = f"{name} v{version}: {found['now']}, as it was, to the last digit of every gate"
            console().print(agrees, markup=False)
        if played is not None:
            print_again(played)
        for rollout in found["rollouts"]:
            _print_rollout(rollout)
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
    """Judge a model's past again under another policy, tournaments too, and print what would have changed.

    Nothing is changed.
    """
    from gauntlet.policy_files import policy_in
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    wanted = policy_in(policy)
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
    played = [each["tournament"] for each in found if each["tournament"]]
    if played:
        unknown = sum(each["unknown"] is not None for each in played)
        ended = sum(each["unknown"] is None and each["now"] != each["then"] for each in played)
        not_known = f", of {unknown} it is not known" if unknown else ""
        console().print(f"{ended} of {len(played)} tournaments would end otherwise{not_known}", markup=False)


def print_again(played: Mapping[str, Any]) -> None:
    """Print whether a tournament ends as originally, to the last digit, and the differences."""
    from gauntlet.tournament_lines import again

    digits = ", to the last digit of every comparison" if played["agrees"] else ""
    console().print(f"tournament: {again(played)}{digits}", markup=False, soft_wrap=True)
    print_differences(played["differences"])


def _print_rollout(rollout: Mapping[str, Any]) -> None:
    """Print whether each step of a rollout is decided as originally, and the differences."""
    from gauntlet.rollout_lines import decided_again

    console().print(decided_again(rollout), markup=False, soft_wrap=True)
    print_differences([each for step in rollout["steps"] for each in step["differences"]])


def print_differences(differences: Sequence[Mapping[str, Any]]) -> None:
    """Print the first differences; nothing when there are none."""
    if differences:
        print_table(("where", "then", "now"), [_row(each) for each in differences[:MOST_DIFFERENCES]])
    if len(differences) > MOST_DIFFERENCES:
        console().print(f"and {len(differences) - MOST_DIFFERENCES} more; all of them: --json", markup=False)


def _row(difference: Mapping[str, Any]) -> tuple[Any, ...]:
    return difference["where"], shortened(str(difference["then"])), shortened(str(difference["now"]))


def _judged(each: Mapping[str, Any]) -> tuple[Any, ...]:
    from gauntlet.tournament_lines import again

    because = each["problem"] or "; ".join(f"{gate}: {reason}" for gate, reason in each["reasons"].items())
    gone = [gate for gate in each["changed"] if gate not in each["reasons"]]
    left_out = f"not asked: {', '.join(gone)}" if gone else None
    played = f"tournament: {again(each['tournament'])}" if each["tournament"] else None
    words = "; ".join(part for part in (because, left_out, played) if part)
    return f"v{each['model_version']}", local_time(each["judged_at"]), each["then"], each["now"], words or None
