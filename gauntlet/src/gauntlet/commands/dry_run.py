"""`gauntlet try`: every gate on one version, without recording or promoting anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, MlflowUri, ModelName, ModelVersion
from gauntlet.output import console, print_json


def try_version(
    name: ModelName,
    version: ModelVersion,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", dir_okay=False, help="Instead of the model's own in POLICIES_DIR."),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option("--golden", metavar="FILE", dir_okay=False, help="Labelled rows, Parquet or CSV, to judge it on."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="With --golden: the label's column.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="COLUMN", help="With --golden: the entity's column.")
    ] = None,
    event_time: Annotated[
        str | None, typer.Option("--event-time", metavar="COLUMN", help="With --golden: the column of event times.")
    ] = None,
    as_json: Json = False,
    mlflow: MlflowUri = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Try a version: the verdict it would get, and what is missing, with the line that supplies it.

    Nothing is recorded, published or promoted. Without a policy, it is tried with one that is printed, to be saved.
    Exit 1 unless it would pass.
    """
    from gauntlet.arguments import model_name
    from gauntlet.mlflow_client import MlflowClient
    from gauntlet.trying import chosen_policy, golden_file, judged, stored_golden
    from gauntlet.verdict_lines import verdict_lines

    if golden is None and (given := [each for each in (label, entity, event_time) if each]):
        raise CliError(f"{given[0]!r} names a column of golden rows, but there is no --golden FILE")
    client = MlflowClient(data_dir, mlflow)
    client.version(model_name(name), version)
    with chosen_policy(name, policy) as chosen, golden_file(golden, label, entity, event_time) as rows:
        stored = None if rows else stored_golden(name, chosen.policy, gatekeeper, data_dir)
        found = judged(name, version, chosen, rows, stored, client.address.at)
    if as_json:
        print_json(found)
    else:
        for line in verdict_lines(found):
            console().print(line, soft_wrap=True)
        _print_missing(found["missing"])
        if chosen.suggested is not None:
            console().print(f"\nThere is no policy for {name!r}. This one was used; save it as {chosen.suggested}:\n")
            console().print(chosen.text, markup=False, soft_wrap=True)
        console().print("Nothing was recorded.", style="dim")
    if found["state"] != "passed":
        raise typer.Exit(1)


def _print_missing(missing: list[dict[str, str]]) -> None:
    if not missing:
        return
    console().print("\nMissing:", style="bold")
    for each in missing:
        console().print(f"  {each['what']}", markup=False, soft_wrap=True)
        for line in each["supply"].splitlines():
            console().print(f"      {line}", markup=False, highlight=False, soft_wrap=True)
