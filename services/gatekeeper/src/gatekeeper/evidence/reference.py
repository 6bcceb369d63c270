"""The reference of a version that was registered without one: features of the rows it was trained on, for drift."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pyarrow.lib import ArrowException

from chassis.digests import digest_file
from chassis.errors import NotFound, Permanent
from chassis.mlmodel import MLmodel, by_position
from chassis.parquet import frame_of
from chassis.registry import Registry
from chassis.signature_frame import fitted_where_possible
from chassis.telemetry import get_logger
from contracts import Dataset, ModelRegistered
from contracts.golden_predictions import MOST_ROWS
from gatekeeper.evaluation.golden_rows import GoldenRows, chosen_rows, kinds_of
from gatekeeper.evaluation.golden_tables import read_table
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evaluation.run_inputs import CONTEXT_TAG, TRAINING_CONTEXTS, NoFile, file_of, files_of, tags_of
from gatekeeper.evidence.store import EvidenceStore

FOLDER = "references"
DATASETS, FILE = "datasets", "datasets/reference.parquet"
"""Where `gauntlet register --reference` leaves it in a run."""

log = get_logger(__name__)


class _File(NamedTuple):
    """`digest` None: nothing says which one it must have."""

    uri: str
    digest: str | None = None


def completed(
    event: ModelRegistered, measurements: Measurements, registry: Registry, kept: EvidenceStore
) -> Dataset | None:
    """Return the reference that was registered; else one of the training rows that MLflow has, kept in MLflow.

    Training rows may be large, on one machine only, or change later: at most MOST_ROWS of them are kept, and only the
    model's columns. None where there are none that can be read: drift then compares with the golden rows. Raises
    Transient while MLflow is unavailable.
    """
    if event.reference is not None or measurements.artifact_digest is None:
        return event.reference
    tried: list[str] = []
    for found in _places(event, registry):
        if isinstance(found, NoFile):
            tried.append(found.reason)
            continue
        try:
            return _kept(event, found, measurements, registry, kept)
        except (NotFound, Permanent, ArrowException, ValueError, OSError) as error:
            tried.append(f"{found.uri} cannot be read: {' '.join(str(error).split())[:300]}")
    log.info("no training rows for drift", model_name=event.model_name, version=event.model_version, tried=tried)
    return None


def features_of(frame: pd.DataFrame, description: MLmodel, golden: GoldenRows | None) -> pd.DataFrame:
    """Return the model's columns in the types of its signature, and the event time; at most MOST_ROWS rows.

    Raises ValueError for rows that have none of them.
    """
    inputs = description.inputs or ()
    named = [name for name in inputs if name in frame.columns]
    others = {*golden.not_features, golden.label} if golden else {description.roles.get("label")}
    if not named and (not inputs or by_position(inputs)):
        named = [name for name in frame.columns if name not in others]
    if not named:
        raise ValueError(f"it has none of the model's columns ({', '.join(inputs[:5])})")
    rows = frame.iloc[chosen_rows(len(frame), MOST_ROWS)].reset_index(drop=True)
    features = rows[named]
    if by_position(inputs) and len(inputs) == len(named):
        features = features.set_axis(list(inputs), axis=1)
    features = fitted_where_possible(features, kinds_of(description))
    time = golden.event_time if golden else None
    if time is None or time not in rows.columns or time in named:
        return features
    return features.assign(**{time: rows[time]})


def _places(event: ModelRegistered, registry: Registry) -> Iterator[_File | NoFile]:
    """Yield files of training rows, the best first."""
    run_id = event.run_id
    if run_id is not None and FILE in files_of(registry, run_id, DATASETS):
        yield _File(f"runs:/{run_id}/{FILE}")
    if event.training is not None:
        yield _File(event.training.uri, event.training.digest)
    try:
        run = registry.run(run_id) if run_id is not None else None
    except NotFound:
        run = None
    for item in run.inputs.dataset_inputs if run and run.inputs else ():
        if (context := tags_of(item).get(CONTEXT_TAG)) in TRAINING_CONTEXTS:
            file = file_of(registry, item, f"dataset {item.dataset.name!r} logged as {context}")
            yield file if isinstance(file, NoFile) else _File(file)


def _kept(
    event: ModelRegistered, file: _File, measurements: Measurements, registry: Registry, kept: EvidenceStore
) -> Dataset:
    with tempfile.TemporaryDirectory(prefix="gauntlet-reference-") as folder:
        path = registry.download(file.uri, Path(folder))
        if file.digest is not None and (found := digest_file(path)) != file.digest:
            raise ValueError(f"its digest is {found}, not the registered {file.digest}")
        features = features_of(frame_of(read_table(path)), measurements.description, measurements.golden)
        draft = Path(folder) / "draft.parquet"
        features.to_parquet(draft, index=False)
        digest = digest_file(draft)
        name = f"v{event.model_version}-{digest.removeprefix('sha256:')[:12]}.parquet"
        uri = kept.add(event.model_name, draft.rename(draft.with_name(name)), FOLDER)
    return Dataset(uri=uri, digest=digest, rows=len(features))
