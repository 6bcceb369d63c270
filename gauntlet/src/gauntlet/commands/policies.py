"""`gauntlet policy`: explain and check a policy file, before a service reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, entity_rate
from gauntlet.output import console, notes, print_json, print_table

OF_MODELS = ("gates", "golden", "metric")
"""Beginnings of the keys whose warnings rest on assumptions about models."""

app = typer.Typer(no_args_is_help=True, help="The policies: what a model must prove.")


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own while it is the only one."""


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
