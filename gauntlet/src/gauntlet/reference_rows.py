"""The reference of a version that is registered by hand: rows that production is compared with for drift."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chassis.digests import digest_file
from chassis.errors import GauntletError, Permanent
from chassis.registry import Registry
from contracts import Dataset
from gauntlet.endpoints import uri_prefixes
from gauntlet.errors import CliError
from gauntlet.mlflow_client import FoundVersion
from gauntlet.row_files import parquet_of, read_frame

EXPERIMENT = "gauntlet-references"
"""Of the runs that keep the references of versions without a run."""
FOLDER = "datasets"


def reference_of(version: FoundVersion, given: str, tracking_uri: str) -> Dataset:
    """Return the rows of a file, which is logged to the version's run, or of an address that MLflow downloads from.

    Raises CliError for what is not there, or cannot be read.
    """
    registry = Registry(tracking_uri, allowed_uris=uri_prefixes())
    try:
        with tempfile.TemporaryDirectory(prefix="gauntlet-reference-") as folder:
            if is_address(given):
                path = registry.download(given, Path(folder))
                return Dataset(uri=given, digest=digest_file(path), rows=_rows(path, given))
            content = parquet_of(Path(given), {})
            path = Path(folder) / "draft.parquet"
            path.write_bytes(content)
            digest = digest_file(path)
            path = path.rename(path.with_name(f"reference-{digest.removeprefix('sha256:')[:12]}.parquet"))
            run_id = version.run_id or registry.own_run(EXPERIMENT, f"{version.name} v{version.version}")
            return Dataset(uri=registry.upload(run_id, path, FOLDER), digest=digest, rows=_rows(path, given))
    except GauntletError as error:
        hint = None if isinstance(error, Permanent) else "Nothing was registered; try again when MLflow is there."
        raise CliError(f"the reference {given} cannot be used: {error}", hint) from error


def is_address(given: str) -> bool:
    """Return whether it is an address, such as runs:/…, models:/… or s3://…, and no path of a file."""
    scheme, colon, rest = given.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.replace("-", "").isalnum() and rest.startswith("/")


def _rows(path: Path, given: str) -> int:
    if not path.is_file() or path.suffix.lower() != ".parquet":
        raise CliError(
            f"the reference {given} is no Parquet file",
            "Give the path of a Parquet or CSV file, or the address of a Parquet file.",
        )
    return len(read_frame(path))
