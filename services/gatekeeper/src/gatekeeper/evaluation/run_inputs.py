"""The datasets that a run of MLflow names as its inputs, and the files they are read from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chassis.errors import NotFound, Permanent
from chassis.registry import Registry

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

CONTEXT_TAG = "mlflow.data.context"
TRAINING_CONTEXTS = ("training", "train")
"""The second is what MLflow's autologging writes."""
FILES = ("local", "s3", "gs", "wasbs", "abfss", "mlflow-artifacts", "dbfs")
"""Types of MLflow's sources that are a file of their own, by its URI."""


class NoFile(NamedTuple):
    """Why the source of a dataset is no file that can be read from here."""

    reason: str


def file_of(registry: Registry, item: DatasetInput, what: str) -> str | NoFile:
    """Return the URI of the file of an input; `what` names it in the reason why there is none."""
    dataset = item.dataset
    uri = _uri(dataset.source)
    if dataset.source_type not in FILES or uri is None:
        return NoFile(
            f"the source of {what} is {dataset.source_type!r}, and no file:"
            ' mlflow.data.from_pandas(…, source="/path/of/rows.parquet") names one'
        )
    if dataset.source_type == "local":
        path = Path(uri.removeprefix("file://"))
        if not path.is_absolute():
            return NoFile(
                f"the source of {what} is {uri!r}, relative to a folder that MLflow does not record: name it in full"
            )
        if not registry.is_here:
            return NoFile(f"the source of {what} is {uri!r}, a file of another machine than MLflow's")
    return uri


def files_of(registry: Registry, run_id: str, folder: str | None) -> set[str]:
    """Return the paths of the artifacts of a run directly below `folder`."""
    try:
        return registry.artifacts(run_id, folder)
    except (NotFound, Permanent):  # a run whose artifacts were deleted, or are where nobody may look
        return set()


def tags_of(item: DatasetInput) -> dict[str, str]:
    return {tag.key: tag.value for tag in item.tags}


def _uri(source: str) -> str | None:
    try:
        said: Any = json.loads(source)
    except ValueError:
        return None
    uri = said.get("uri") if isinstance(said, Mapping) else None
    return uri if isinstance(uri, str) else None
