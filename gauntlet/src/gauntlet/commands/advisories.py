"""`gauntlet advisories`: the known vulnerabilities that the gate `integrity` looks up."""

from __future__ import annotations

from typing import Annotated

import typer

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, local_time, notes, print_json

app = typer.Typer(no_args_is_help=True, help="Known vulnerabilities, which the gate integrity looks up.")


@app.command()
def update(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|DIR|URL",
            help="OSV's export (all.zip), a folder of advisories in OSV's format, one of them, or what"
            " `pip-audit --format json` printed. Default: OSV's export of PyPI, from the network.",
        ),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Fill the folder of advisories that the gatekeeper reads; a running one reads it again by itself.

    The folder is GATEKEEPER_ADVISORIES_DIR, or advisories in the data directory. An audit knows only the packages that
    it was made of: a model that needs another one counts as not checked.
    """
    from gauntlet.advisories import filled, folder_of

    found = filled(folder_of(data_dir), source)
    console().print(f"{found.folder}: {found.sentence()}", markup=False, soft_wrap=True)
    if found.is_old:
        notes().print("[yellow]They are older than 30 days: the source itself is old.[/]")


@app.command()
def show(as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show which advisories there are, and how old they are."""
    from gauntlet.advisories import folder_of, state_in
    from gauntlet.errors import CliError

    folder = folder_of(data_dir)
    found = state_in(folder)
    if found is None:
        what = "was not filled by `gauntlet advisories update`" if folder.is_dir() else "does not exist"
        raise CliError(
            f"{folder} {what}: " + ("its age is not known" if folder.is_dir() else "vulnerabilities are not checked"),
            "gauntlet advisories update",
        )
    if as_json:
        print_json(
            {
                "folder": str(found.folder),
                "source": found.source,
                "updated_at": found.updated_at.isoformat(),
                "as_of": found.as_of.isoformat(),
                "advisories": found.advisories,
                "packages": found.packages,
                "covered": found.covered,
                "old": found.is_old,
            }
        )
        return
    updated = local_time(found.updated_at.isoformat())
    console().print(f"{folder}: {found.sentence()}", markup=False, soft_wrap=True)
    console().print(f"from {found.source}, {updated}", markup=False, soft_wrap=True)
    if found.is_old:
        notes().print("[yellow]They are older than 30 days: gauntlet advisories update[/]")
