"""`gauntlet evidence NAME VERSION` and `evidence verify`: a verdict as signed files, for people without Gauntlet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gauntlet.commands.audit import NameOrCommand
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, ModelName, ModelVersion, TrustedKeys
from gauntlet.output import console, notes, print_json


class VersionOrCommand(NameOrCommand):
    """`evidence NAME VERSION` is `evidence export NAME VERSION`."""

    default = "export"


app = typer.Typer(
    cls=VersionOrCommand, help="What a verdict rests on, as signed files (evidence NAME VERSION), and whether they fit."
)


@app.command()
def export(
    name: ModelName,
    version: ModelVersion,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", file_okay=False, help="A new folder.")],
    without_rows: Annotated[
        bool,
        typer.Option("--without-rows", help="Leave out the golden rows; to reach the verdict again, they are needed."),
    ] = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Export verdict, measurements, policy, decisions, audit rows, signed events, model card and ML-BOM to a folder.

    It verifies without Gauntlet's database, MLflow or a network: gauntlet evidence verify DIR. `evidence NAME VERSION`
    is enough.
    """
    from gauntlet import exported_evidence
    from gauntlet.arguments import model_name
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT)
    count = exported_evidence.export(model_name(name), version, output, client, rows=not without_rows)
    notes().print(f"{output} has {count} files; verify them: gauntlet evidence verify {output}", soft_wrap=True)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The exported folder.")],
    keys: TrustedKeys = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            "--golden", metavar="FILE", exists=True, dir_okay=False, help="Golden rows that are not in the folder."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify exported evidence: digests, signatures, audit rows, and that the verdict follows from the measurements.

    No service is needed. Exit 1 with the first thing that does not fit.
    """
    from gauntlet import exported_evidence

    found = exported_evidence.verify(folder, keys, golden)
    if as_json:
        print_json(found)
        return
    by = f", signed with {found['key_id']}" if found["key_id"] else ""
    again = "reached again from its measurements" if found["replayed"] else "not reached again"
    lines = [
        f"{found['model']} v{found['version']}: {found['outcome']}, {again}",
        f"{found['files']} files are as they were exported at {found['created_at']}{by}",
        f"{found['audit_rows']} rows of the audit trail and {found['events']} published events fit",
        *(f"note: {note}" for note in found["notes"]),
    ]
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
