"""`gauntlet wait`: for programs, such as CI: until a verdict, or until a version is champion or cannot become it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from gauntlet.errors import CliError, Silent
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, ModelName, ModelVersion, seconds
from gauntlet.output import console, print_json

if TYPE_CHECKING:
    from gauntlet_client import Waited

FAILED, INCONCLUSIVE, NOT_CHAMPION, TIMEOUT, UNREACHABLE = 3, 4, 5, 6, 7
CODES = {"passed": 0, "promoted": 0, "failed": FAILED, "inconclusive": INCONCLUSIVE}
"""Exit codes by outcome; any other is NOT_CHAMPION."""


class Goal(StrEnum):
    VERDICT = "verdict"
    PROMOTION = "promotion"


def wait(
    name: ModelName,
    version: ModelVersion,
    goal: Annotated[
        Goal, typer.Option("--for", help="verdict; or promotion: until it is champion, or cannot become it any more.")
    ] = Goal.VERDICT,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", parser=seconds, help="Give up after so long.")
    ] = 900,
    event: Annotated[
        str | None,
        typer.Option(
            "--event",
            metavar="ID",
            help="A registration, as `gauntlet register` printed it: earlier verdicts do not count.",
        ),
    ] = None,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Wait for what becomes of a version. It need not be registered yet; progress is on standard error.

    Exit codes: 0 it passed (promotion: it is champion); 3 a gate failed; 4 inconclusive, there was too little evidence;
    5 not champion: superseded, or its rollout was aborted, refused, kept, expired or rolled back; 6 no end within
    --timeout; 7 no gatekeeper at the address; 1 any other error; 130 Ctrl-C, which ends only this command.
    """
    from gauntlet.arguments import model_name
    from gauntlet.endpoints import service
    from gauntlet.wait import waited_for
    from gauntlet_client import WaitTimeout

    at = service("gatekeeper", data_dir, gatekeeper)
    try:
        found = waited_for(at, model_name(name), version, goal.value, timeout, event)
    except Silent as error:
        error.code = UNREACHABLE
        raise
    except CliError as error:
        if isinstance(error.__cause__, WaitTimeout):
            error.code = TIMEOUT
        raise
    if as_json:
        print_json(
            {"outcome": found.outcome, "reason": found.reason, "verdict": found.verdict, "rollout": found.rollout}
        )
    else:
        _print(found)
    raise typer.Exit(CODES.get(found.outcome, NOT_CHAMPION))


def _print(found: Waited) -> None:
    from gauntlet.verdict_lines import verdict_lines

    for line in verdict_lines(found.verdict.model_dump(mode="json")):
        console().print(line, soft_wrap=True)
    if found.kept is not None:
        console().print(f"not judged again: {found.kept}", markup=False, soft_wrap=True)
    if found.outcome != found.verdict.state:
        reason = f": {found.reason}" if found.reason else ""
        version = f"{found.verdict.model_name} v{found.verdict.model_version}"
        console().print(f"{version} {found.outcome}{reason}", markup=False, soft_wrap=True)
