"""`gauntlet policy`: explain, check and compare policies, before a service reads them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, entity_rate
from gauntlet.output import console, notes, print_json, print_table

OF_MODELS = ("gates", "golden", "metric")
"""Beginnings of the keys whose warnings rest on assumptions about models."""

FAILED = 3
"""Exit code of `diff` for a change that --fail-on names."""


class FailOn(StrEnum):
    LOOSER = "looser"
    CHANGED = "changed"
    ANY = "any"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The directions that fail: one that is not known may be looser."""
        return {"looser": ("looser",), "changed": ("looser", "changed")}.get(self, ("looser", "changed", "tighter"))


app = typer.Typer(no_args_is_help=True, help="The policies: what a model must prove.")


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Such as policies/flights-delay.yaml; default: all of the folder."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="RATE",
            parser=entity_rate,
            help="Entities in production: 50/s, 3000/min, 40/h or 1000/d; shows how long a rollout takes then.",
        ),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Validate a policy, say in words what it will do, and warn of what is known to go wrong. Nothing has to run.

    A strategy is shown with the entities that each step needs, and how long that takes.

    Without FILE: every policy of POLICIES_DIR, and which running services have it in force. Exit 1 if one is invalid.
    """
    if file is None:
        _check_folder(data_dir, as_json=as_json)
        return
    from chassis.explain.policy import in_words
    from chassis.policies import PolicyError, load_policy
    from gauntlet.policy_lint import assumptions, warnings
    from gauntlet.rollout_forecast import RATES, columns, forecast_json, forecasts, rows
    from gauntlet.rollout_forecast import assumptions as forecast_assumptions

    try:
        policy = load_policy(file)
    except PolicyError as error:
        raise CliError(
            str(error), "It is not taken up until it is mended; the last good one stays in force."
        ) from error
    sentences, risks = in_words(policy), warnings(policy, rate)
    rates = RATES if rate is None else (rate,)
    steps = forecasts(policy, rates)
    if as_json:
        words = {"digest": policy.digest, "policy": policy, "words": dict(sentences), "warnings": risks}
        print_json({**words, "rollout": forecast_json(steps, rates)})
        return
    print_table(("", f"{file} is valid"), sentences)
    if steps:
        print_table(columns(policy, rates), rows(steps), title="what a rollout needs, and how long that takes")
        console().print(forecast_assumptions(policy), style="dim", markup=False)
    if risks:
        print_table(("warning", "what is known to go wrong"), risks)
        if any(about.startswith(OF_MODELS) for about, _ in risks):
            console().print(assumptions(), style="dim", markup=False)
    console().print(f"digest {policy.digest}", style="dim", markup=False, soft_wrap=True)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A policy's file; alone: the new one.")],
    new: Annotated[
        Path | None,
        typer.Argument(metavar="[NEW]", help="The new one; without it, OLD is compared with what is in force."),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            "--fail-on", help="Exit 3 if anything is looser; looser or of unknown direction; or different at all."
        ),
    ] = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Say in words what changes from one policy to another: what is looser, tighter, or changed without a direction.

    With one file: from the policy that the gatekeeper has in force to that file. A model without one is new: all is.

    Exit codes: 0, unless --fail-on says otherwise; 3 there is a change of the kind that --fail-on names; 1 a file is
    invalid, or the gatekeeper is not there.
    """
    from gauntlet.policy_diff import changes
    from gauntlet.policy_files import policy_in, policy_in_force

    after = policy_in(new or old)
    before = policy_in(old) if new is not None else policy_in_force(after.model, gatekeeper, data_dir)
    if before is not None and before.model != after.model:
        raise CliError(f"the policies are of different models: {before.model} and {after.model}")
    found = [] if before is None else changes(before, after)
    if as_json:
        listed = [
            {"key": each.key, "old": each.old, "new": each.new, "direction": each.direction, "words": each.in_words}
            for each in found
        ]
        print_json({"model": after.model, "in_force": before is not None, "same": not found, "changes": listed})
    elif before is None:
        console().print(f"{after.model} has no policy in force: the whole of {new or old} is new", markup=False)
    elif not found:
        console().print(f"{after.model}: nothing changes", markup=False)
    else:
        print_table(("", "what changes"), [(each.direction, each.in_words) for each in found])
    if fail_on is not None and any(each.direction in fail_on.kinds for each in found):
        raise typer.Exit(FAILED)


def _check_folder(data_dir: Path, *, as_json: bool) -> None:
    from gauntlet.policy_report import report, rows

    found = report(data_dir)
    if as_json:
        print_json(found)
    else:
        print_table(("model", "file", "digest", "in force"), rows(found), title=f"policies in {found['folder']}")
        for problem in found["problems"]:
            notes().print(f"[bold red]not usable:[/] {escape(problem['reason'])}", soft_wrap=True)
    if found["problems"]:
        raise typer.Exit(1)
