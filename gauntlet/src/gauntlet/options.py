"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path(".gauntlet")

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="GAUNTLET_DATA_DIR",
        file_okay=False,
        help="Where the stack keeps its state, logs and databases.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table for people.")]
