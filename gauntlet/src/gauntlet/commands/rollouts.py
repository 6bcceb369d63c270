"""`gauntlet rollouts`, `approve`, `refuse`, `abort` and `fleet`: from passed to champion, and who decides on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.commands.decisions import Reason, post_decision
from gauntlet.options import DEFAULT_DATA_DIR, Actor, DataDir, GatekeeperUrl, Json, Limit, ModelName
from gauntlet.output import console, print_json, print_listing, print_table

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient

Digest = Annotated[
    str | None,
    typer.Option(
        "--digest",
        metavar="DIGEST",
        help="Only if the verdict digest is still this one, or begins so (`gauntlet rollouts NAME` shows it).",
    ),
]


def rollouts(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this model's rollout, step by step.")
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="List also those that have ended, newest first.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show each step as it comes, until the end; exit 1 unless it is promoted.")
    ] = False,
    limit: Limit = 20,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show how versions that passed become champion: each step, its figures and their bounds, and what it waits for.

    Without NAME, the rollouts and watches that run. With NAME, that of the model, or the last one that ended.
    """
    from gauntlet.arguments import model_name
    from gauntlet.errors import CliError
    from gauntlet.rollout_lines import LIST_HEADINGS, list_row
    from gauntlet.service_client import gatekeeper_client

    if follow and (name is None or all_of_them or as_json):
        raise CliError(
            "--follow follows the rollout of one model: it needs NAME, and neither --all nor --json",
            "gauntlet rollouts lists those that run; gauntlet events tail --type RolloutChanged --json follows all.",
        )
    client = gatekeeper_client(gatekeeper, data_dir)
    if name is None or all_of_them:
        active = None if all_of_them else "true"
        of = model_name(name) if name else None
        found = client.get("/rollouts", model_name=of, active=active, limit=limit)["rollouts"]
        items = found if as_json else [list_row(each) for each in found]
        empty = "no rollouts" if all_of_them else "no rollout runs; --all lists those that ended"
        print_listing(items, LIST_HEADINGS, as_json=as_json, empty=empty)
        return
    rollout = _newest(client, model_name(name))
    if as_json:
        print_json(rollout)
    elif rollout is None:
        console().print(f"no rollout of {name}: its policy has none, or no version has passed", markup=False)
    elif follow:
        from gauntlet.wait import follow_rollout

        follow_rollout(client, rollout)
    else:
        _print(rollout)


def approve(
    name: ModelName,
    reason: Annotated[
        str, typer.Option("--reason", metavar="R", help="Why; it is kept in the audit trail.")
    ] = "approved",
    digest: Digest = None,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Agree that the version whose rollout waits for people becomes champion; the last one who is needed promotes it.

    What is approved is shown, and bound to its digest: if the evidence changes meanwhile, nothing is approved. Who
    registered the version cannot approve it, and nobody counts twice.
    """
    before, after = _decide("approve", name, reason, digest, actor, gatekeeper, data_dir)
    _print(before)
    who, version = after["approvals"][-1]["actor"], after["challenger_version"]
    if after["people_needed"]:
        from gauntlet.output import local_time
        from gauntlet.rollout_lines import people

        more = f"{people(after['people_needed'])} more must approve until {local_time(after['expires_at'])}"
        console().print(f"approved by {who}: {more}", markup=False, soft_wrap=True)
        return
    console().print(f"approved by {who}: {name} v{version} is champion", markup=False, soft_wrap=True)


def refuse(
    name: ModelName,
    reason: Reason,
    digest: Digest = None,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Refuse the version whose rollout waits for people: the champion stays, and only a person can promote it."""
    _, after = _decide("refuse", name, reason, digest, actor, gatekeeper, data_dir)
    _print_kept("refused", after)


def abort(
    name: ModelName,
    reason: Reason,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End the rollout that runs, at whatever step: the champion stays, and only a person can promote the version."""
    _print_kept("aborted", post_decision(gatekeeper, data_dir, name, "rollout/abort", actor, reason))


def fleet(
    name: ModelName,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the serving replicas of a model: what each has loaded, and should have, since when, and its errors."""
    from gauntlet.arguments import model_name
    from gauntlet.rollout_lines import FLEET_COLUMNS, fleet_headline, fleet_rows
    from gauntlet.service_client import gatekeeper_client

    found = gatekeeper_client(gatekeeper, data_dir).get(f"/models/{model_name(name)}/fleet")
    if as_json:
        print_json(found)
        return
    console().print(fleet_headline(found), markup=False, soft_wrap=True)
    if found["replicas"]:
        print_table(FLEET_COLUMNS, fleet_rows(found))


def _newest(client: ServiceClient, name: str) -> Any:
    """Return the rollout of a model that runs, else the last one that ended, else None."""
    for active in ("true", None):
        if found := client.get("/rollouts", model_name=name, active=active, limit=1)["rollouts"]:
            return found[0]
    return None


def _decide(
    what: str, name: str, reason: str, digest: str | None, actor: str | None, gatekeeper: str | None, data_dir: Any
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Decide on what is there now; return the rollout before and after. Raises CliError if the digest is another."""
    from gauntlet.arguments import model_name, who_and_why
    from gauntlet.errors import CliError
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    body, path = who_and_why(client, actor, reason), f"/models/{model_name(name)}/rollout/{what}"
    before = _newest(client, name)
    if before is None:
        raise CliError(f"there is no rollout of {name}", "gauntlet candidates shows what came of its versions.")
    current = before["verdict_digest"]
    if digest is not None and not _is_meant(digest, current):
        raise CliError(
            f"the verdict digest of {name} v{before['challenger_version']} is {current}, not {digest}",
            f"Its evidence has changed, or it is another version: look again with gauntlet rollouts {name}.",
        )
    return before, client.post(path, {**body, "verdict_digest": current})


def _is_meant(given: str, current: str) -> bool:
    """Whether a digest, or its beginning of at least 8 digits, with or without `sha256:`, is the current one."""
    digits = given.removeprefix("sha256:")
    return len(digits) >= 8 and current.removeprefix("sha256:").startswith(digits.lower())


def _print(rollout: Mapping[str, Any]) -> None:
    from gauntlet.rollout_lines import FIGURE_COLUMNS, STEP_COLUMNS, about_rows, figure_rows, headline, step_rows

    console().print(headline(rollout), soft_wrap=True)
    print_table(STEP_COLUMNS, step_rows(rollout))
    if figures := figure_rows(rollout):
        print_table(FIGURE_COLUMNS, figures)
    print_table(("", ""), about_rows(rollout))


def _print_kept(what: str, rollout: Mapping[str, Any]) -> None:
    champion = rollout["champion_version"]
    stays = f"v{champion} stays champion" if champion else "there is still no champion"
    version = f"{rollout['model_name']} v{rollout['challenger_version']}"
    console().print(f"{version} {what}: {stays}", markup=False, soft_wrap=True)
