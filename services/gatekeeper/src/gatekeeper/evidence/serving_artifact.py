"""The serving artifact of a version that passed: its compiled model, and golden rows with its predictions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import contracts
from chassis.digests import digest_tree
from chassis.errors import Transient
from chassis.telemetry import get_logger
from forms.artifact import RecordedPredictions, ServingArtifact
from forms.form import Column
from forms.frames import FRAME_DTYPES, rows_of
from gatekeeper.evaluation.golden_rows import chosen_rows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence.store import EvidenceStore

ROWS = 32
TRIED = 4 * ROWS
"""Number of golden rows tried; those that JSON can represent are used."""

log = get_logger(__name__)


def keep(measurements: Measurements, store: EvidenceStore) -> contracts.ServingArtifact | None:
    """Store it in MLflow with the evidence. Returns None where there is nothing to store, or storing fails.

    Serving works without it: it compiles the model itself, and warms it up with its input example.
    """
    artifact = ServingArtifact(measurements.form, recorded(measurements))
    if artifact.form is None and artifact.recorded is None:
        return None
    event = measurements.event
    with tempfile.TemporaryDirectory(prefix="gauntlet-serving-") as folder:
        artifact.write(Path(folder))
        digest = digest_tree(Path(folder))
        place = f"serving/v{event.model_version}-{digest.removeprefix('sha256:')[:12]}"
        try:
            uri = store.add_folder(event.model_name, Path(folder), place)
        except Transient as error:
            log.warning("serving artifact not kept", model_name=event.model_name, error=str(error))
            return None
    return contracts.ServingArtifact(uri=uri, digest=digest)


def recorded(measurements: Measurements) -> RecordedPredictions | None:
    """Some golden rows with the judged predictions; None for a model whose predictions are not reproducible."""
    probe, rows, model = measurements.probe, measurements.golden, measurements.description
    if probe is None or probe.golden is None or rows is None or model.inputs is None or model.kinds is None:
        return None
    if probe.first is None or probe.second is None or not np.array_equal(probe.first, probe.second):
        return None
    features = rows.features_for(model)
    kinds = dict(zip(model.inputs, model.kinds, strict=True))
    columns = [Column(name, kinds[name]) for name in features.columns]
    if not all(column.kind in FRAME_DTYPES for column in columns):
        return None
    found, answers = [], []
    for place in chosen_rows(len(features), TRIED).tolist():
        try:
            usable = rows_of(features.iloc[[place]], columns)
        except (ValueError, TypeError):  # a value that is not of its column's type; MLflow may have converted it
            continue
        if usable and len(found) < ROWS:
            found.append({column.name: value for column, value in zip(columns, usable[0], strict=True)})
            answers.append(probe.golden[place].tolist())
    return RecordedPredictions(found, answers) if found else None
