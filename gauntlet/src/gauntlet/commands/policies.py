"""`gauntlet policy`: explain and check a policy file, before a service reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gauntlet.errors import CliError
from gauntlet.options import Json
from gauntlet.output import console, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The policies: what a model must prove.")


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own while it is the only one."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy, such as policies/flights-delay.yaml.")],
    as_json: Json = False,
) -> None:
    """Validate a policy, say in words what it will do, and warn of what is known to go wrong. Nothing has to run."""
    from chassis.policies import PolicyError, load_policy
    from gauntlet.policy_explain import in_words
    from gauntlet.policy_lint import assumptions, warnings

    try:
        policy = load_policy(file)
    except PolicyError as error:
        raise CliError(str(error), "Nothing is gated with this file until it is mended.") from error
    sentences, risks = in_words(policy), warnings(policy)
    if as_json:
        print_json({"digest": policy.digest, "policy": policy, "words": dict(sentences), "warnings": risks})
        return
    print_table(("", f"{file} is valid"), sentences)
    if risks:
        print_table(("warning", "what is known to go wrong"), risks)
        console().print(assumptions(), style="dim", markup=False)
    console().print(f"digest {policy.digest}", style="dim", markup=False, soft_wrap=True)
