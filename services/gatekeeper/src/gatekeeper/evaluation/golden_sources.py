"""Golden rows of a version that registered none: where people leave them in an MLflow run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from chassis.digests import digest_file
from chassis.errors import NotFound, Permanent
from chassis.registry import Registry
from contracts import Dataset
from gatekeeper.evaluation.golden_roles import ROLES, GoldenSource
from gatekeeper.evaluation.golden_tables import TABLE_FILE, rows_in
from gatekeeper.evaluation.run_inputs import CONTEXT_TAG, NoFile, file_of, files_of, tags_of

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run

FOLDER, FILE = "datasets", "datasets/evaluation.parquet"
EVALUATED_TAG = "mlflow.datasets"
CONTEXTS = ("evaluation", "eval", "testing", "test")
"""Of `mlflow.log_input`, the best first. Not "validation": models are chosen by such rows, so they look too good."""


@dataclass(frozen=True)
class Found:
    """`dataset` None: there are none, and `tried` says, place by place, why not."""

    dataset: Dataset | None = None
    source: GoldenSource | None = None
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    uri: str
    source: GoldenSource


def of_run(registry: Registry, run: Run | None) -> Found:
    """Look into the run, and take the first file that can be read. Raises Transient when MLflow is unavailable."""
    if run is None:
        return Found(tried=("the version has no run",))
    tried: list[str] = []
    for place in _places(registry, run):
        if isinstance(place, str):
            tried.append(place)
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="golden-") as folder:
                path = registry.download(place.uri, Path(folder))
                dataset = Dataset(uri=place.uri, digest=digest_file(path), rows=rows_in(path))
        except (NotFound, Permanent, ValueError, OSError, pa.ArrowException) as error:
            tried.append(f"{place.source.where} cannot be read: {' '.join(str(error).split())[:300]}")
            continue
        return Found(dataset, place.source, tuple(tried))
    return Found(tried=tuple(tried))


def _places(registry: Registry, run: Run) -> Iterator[_Place | str]:
    """Yield the files that may hold golden rows, the best first; a text says why one of them is none."""
    run_id = run.info.run_id
    if FILE in files_of(registry, run_id, FOLDER):
        yield _Place(f"runs:/{run_id}/{FILE}", GoldenSource(f"{FILE} of its run"))
    else:
        yield f"its run has no {FILE}"
    inputs = list(_inputs(run))
    for item in inputs:
        yield _of_input(registry, item)
    if not inputs:
        yield f"its run has no dataset that was logged with the context {' or '.join(CONTEXTS)}, or evaluated on"
    if TABLE_FILE in files_of(registry, run_id, None):
        yield _Place(f"runs:/{run_id}/{TABLE_FILE}", GoldenSource(f"{TABLE_FILE} of its run (mlflow.models.evaluate)"))
    else:
        yield f"its run has no {TABLE_FILE} of mlflow.models.evaluate"


def _inputs(run: Run) -> Iterator[DatasetInput]:
    """Yield the datasets of an evaluation: by their context, then those of `mlflow.models.evaluate`, which has none."""
    items = list(run.inputs.dataset_inputs) if run.inputs else []
    for context in CONTEXTS:
        yield from (item for item in items if tags_of(item).get(CONTEXT_TAG) == context)
    evaluated = _evaluated(run)
    yield from (item for item in items if CONTEXT_TAG not in tags_of(item) and item.dataset.name in evaluated)


def _evaluated(run: Run) -> set[str]:
    """Return the names of the datasets that `mlflow.models.evaluate` notes in a tag."""
    try:
        said = json.loads(run.data.tags.get(EVALUATED_TAG, "[]"))
        return {str(each["name"]) for each in said}
    except (ValueError, TypeError, KeyError):
        return set()


def _of_input(registry: Registry, item: DatasetInput) -> _Place | str:
    tags = tags_of(item)
    how = f"logged as {context}" if (context := tags.get(CONTEXT_TAG)) else "that mlflow.models.evaluate was run on"
    what = f"dataset {item.dataset.name!r} {how}"
    file = file_of(registry, item, what)
    if isinstance(file, NoFile):
        return file.reason
    names = {role: tags[f"gauntlet.{role}"] for role in ROLES if tags.get(f"gauntlet.{role}")}
    return _Place(file, GoldenSource(f"{what} ({file})", names))
