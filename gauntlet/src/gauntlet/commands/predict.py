"""`gauntlet predict`: score a file of rows with the champion."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, ModelName, ServingUrl, count
from gauntlet.output import console, notes

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient, ServiceError

LABEL, SCORE = "predicted_label", "predicted_score"
ADDED = (LABEL, SCORE, "model_version", "request_id", "request_row")
BUSY, BUSY_TRIES, BUSY_SECONDS = "too much load", 10, 1.0

Row = dict[str, Any]


def predict(
    name: ModelName,
    source: Annotated[Path, typer.Option("--input", metavar="FILE", help="Rows: .csv, .parquet or .jsonl.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The rows with their predictions.")],
    file_format: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="csv, parquet or jsonl, whatever the suffixes say.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="COLUMN", help="Do not send this column; may be given again."),
    ] = None,
    chunk: Annotated[int, typer.Option(metavar="ROWS", parser=count, help="Rows a request.")] = 1000,
    serving: ServingUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Score a file with the version that serves, and write its rows with label, score and version.

    The output appears whole or not at all. Every row counts as a prediction of production (drift sees it).
    """
    from rich.progress import Progress

    from gauntlet.arguments import model_name
    from gauntlet.endpoints import service
    from gauntlet.row_files import format_of, read_rows, write_rows, written_whole
    from gauntlet.service_client import ServiceClient

    path = f"/models/{model_name(name)}/predict"
    kinds = format_of(source, file_format), format_of(output, file_format)
    if source.resolve() == output.resolve():
        raise CliError(f"--input and --output are both {source}", "The input is not overwritten: name another output.")
    rows = read_rows(source, kinds[0])
    _check(source, rows, drop or [])
    client = ServiceClient(service("serving", data_dir, serving))
    scored: list[Row] = []
    with written_whole(output) as scratch:
        with Progress(console=notes(), transient=True, disable=not notes().is_terminal) as progress:
            task = progress.add_task(f"{name}: {len(rows):,} rows", total=len(rows))
            for part in _scored(client, path, source, rows, drop or [], chunk):
                scored += part
                progress.advance(task, len(part))
        write_rows(scratch, kinds[1], scored)
    versions = Counter(row["model_version"] for row in scored)
    by = ", ".join(f"v{version} ({rows:,} rows)" for version, rows in sorted(versions.items()))
    console().print(f"{output}: {len(scored):,} rows scored by {name} {by}", markup=False, soft_wrap=True)


def _check(source: Path, rows: Sequence[Row], drop: Sequence[str]) -> None:
    """Find, before sending, errors that serving could not report, or only after many rows."""
    for name in drop:
        if name not in rows[0]:
            raise CliError(f"--drop {name!r}: {source} has no such column", f"It has: {', '.join(rows[0])}")
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            if name in ADDED:
                raise CliError(
                    f"{source} has a column {name!r}, which the output adds", "Rename the column in the input."
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise CliError(f"{source}: row {number}, field {name}: {value}; expected a finite number")


def _scored(
    client: ServiceClient, path: str, source: Path, rows: Sequence[Row], drop: Sequence[str], chunk: int
) -> Iterator[list[Row]]:
    from gauntlet.service_client import ServiceError

    start = 0
    while start < len(rows):
        part = rows[start : start + chunk]
        sent = [{name: value for name, value in row.items() if name not in drop} for row in part]
        try:
            answer = _ask(client, path, sent)
        except ServiceError as error:
            if error.status == 413 and chunk > 1:
                chunk = max(1, len(part) // 2)  # wide rows: fewer at a time
                continue
            raise _in_file(error, source, start) from error
        yield [_joined(row, answer, place) for place, row in enumerate(part)]
        start += len(part)


def _ask(client: ServiceClient, path: str, rows: list[Row]) -> Any:
    from gauntlet.service_client import ServiceError

    for attempt in range(1, BUSY_TRIES + 1):
        try:
            return client.post(path, {"rows": rows})
        except ServiceError as error:
            if error.problem.get("title") != BUSY or attempt == BUSY_TRIES:
                raise
            time.sleep(BUSY_SECONDS)
    raise AssertionError("unreachable")


def _joined(row: Row, answer: Any, place: int) -> Row:
    said = answer["predictions"][place]
    joined = {**row, LABEL: said["label"]}
    if said["score"] is not None:
        joined[SCORE] = said["score"]
    joined |= {f"{SCORE}_{name}": score for name, score in said.get("scores", {}).items()}
    return {
        **joined,
        "model_version": answer["model_version"],
        "request_id": answer["request_id"],
        "request_row": place,
    }


def _in_file(error: ServiceError, source: Path, start: int) -> CliError:
    """Convert the position of a wrong row from the request to the file."""
    faults = [fault for fault in error.problem.get("errors") or [] if fault.get("row") is not None]
    if not faults:
        return error
    shown = [
        f"{source}: row {start + fault['row'] + 1}, field {fault['field']}: {fault['value']}, "
        f"expected {fault['expected']}"
        for fault in faults
    ]
    return CliError(
        "\n".join(shown),
        "Nothing was written. Mend the rows; a column that the model does not take is left out with --drop.",
    )
