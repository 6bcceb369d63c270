"""Files of rows: CSV, Parquet and JSON lines, read as JSON values and written atomically."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from chassis import parquet
from gauntlet.errors import CliError

CSV, PARQUET, JSON_LINES = "csv", "parquet", "jsonl"
SUFFIXES = {".csv": CSV, ".parquet": PARQUET, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES}

Row = dict[str, Any]


def format_of(path: Path, given: str | None) -> str:
    """Return the format of `path`: the given one, or that of its suffix."""
    wanted = given.lower() if given else SUFFIXES.get(path.suffix.lower())
    if wanted not in (CSV, PARQUET, JSON_LINES):
        what = f"--format {given!r}" if given else f"the suffix {path.suffix!r} of {path}"
        raise CliError(f"{what} is none that can be read and written", "Use csv, parquet or jsonl (JSON lines).")
    return wanted


def read_rows(path: Path, kind: str) -> list[Row]:
    """Return the rows of a file, as values that JSON has. Raises CliError for what cannot be read as such."""
    with _readable(path, kind, "--format says what it is."):
        if kind == JSON_LINES:
            rows = list(_json_lines(path))
        elif kind == PARQUET:
            rows = _records(parquet.read_frame(path))
        else:
            rows = _records(_csv(path, dtype_backend="numpy_nullable"))  # integers stay integers when one is missing
    if not rows:
        raise CliError(f"{path} has no rows")
    return rows


def read_frame(path: Path) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file as a data frame of plain types, as models were trained on."""
    kind = format_of(path, None)
    if kind == JSON_LINES:
        raise CliError(f"{path} is JSON lines; its columns have no types", "Use CSV, or better Parquet.")
    with _readable(path, kind, None):
        frame = parquet.read_frame(path) if kind == PARQUET else _csv(path)
    if frame.empty:
        raise CliError(f"{path} has no rows")
    return frame


def check_columns(path: Path, frame: pd.DataFrame, roles: Mapping[str, str | None]) -> None:
    """Raise CliError when a column that an option names, such as `event_time`, is not there; None names none."""
    for role, name in roles.items():
        if name is not None and name not in frame.columns:
            columns = ", ".join(map(str, frame.columns))
            raise CliError(f"{path} has no column {name!r} (--{role.replace('_', '-')})", f"It has: {columns}")


def parquet_of(path: Path, roles: Mapping[str, str | None]) -> bytes:
    """Return Parquet bytes; a Parquet file stays byte for byte, so that its digest is the one its owner has.

    Raises CliError for a file that cannot be read, or without a column that `roles` names.
    """
    frame = read_frame(path)
    check_columns(path, frame, roles)
    return path.read_bytes() if path.suffix.lower() == ".parquet" else bytes(frame.to_parquet(index=False))


def _csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV; only an empty field is a missing value: "NA" may be an airline."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], float_precision="round_trip", **options)


@contextmanager
def _readable(path: Path, kind: str, hint: str | None) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CliError(f"there is no file {path}", "Name the file of rows with --input." if hint else None) from error
    except (OSError, ValueError, pa.ArrowException) as error:  # pandas' parser errors are ValueErrors
        raise CliError(f"cannot read {path} as {kind}: {error}", hint) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary file next to `path` that replaces it only if the block succeeds."""
    if not path.parent.is_dir():
        raise CliError(f"there is no folder {path.parent} to write {path.name} into", "Make it, or change --output.")
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        scratch.touch()
        yield scratch
        scratch.replace(path)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def write_rows(path: Path, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys."""
    if kind == JSON_LINES:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    frame = pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in rows[0]})
    if kind == PARQUET:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CliError(f"{path}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise CliError(f"{path}:{number}: {line.strip()[:60]!r} is not an object of fields")
            yield row


def _records(frame: pd.DataFrame) -> list[Row]:
    names = [str(name) for name in frame.columns]
    columns = [[_plain(value) for value in frame[name].tolist()] for name in frame.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(values: list[Any]) -> Any:
    """Return an array of the values' own type, even with missing values."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.array([None if value is None else float(value) for value in values], dtype="Float64")
    return pd.array(values, dtype=object)


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return float(value) if hasattr(value, "__float__") else str(value)
