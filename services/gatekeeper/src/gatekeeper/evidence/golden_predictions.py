"""The golden predictions of a version that passed: golden rows with their labels and its predictions, for drift."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow.lib import ArrowException

from chassis.digests import digest_file
from chassis.errors import Transient
from chassis.telemetry import get_logger
from contracts import Dataset
from contracts.golden_predictions import ENTITY, EVENT_TIME, LABEL, MOST_ROWS, OWN, PREDICTION, SCORE
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.golden_rows import GoldenRows, Unusable, chosen_rows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.gates.leakage import clean_for
from gatekeeper.policy.statistics.estimates import Predictions

FOLDER = "golden-predictions"

log = get_logger(__name__)


def keep(measurements: Measurements, policy: ModelPolicy, store: EvidenceStore) -> Dataset | None:
    """Store them in MLflow with the evidence. Returns None where there are none, or storing fails.

    Drift works without them: it then has no estimate of the performance, and compares scores with the first windows'.
    """
    event = measurements.event
    try:
        frame = table(measurements, policy)
        if frame is None or frame.empty:
            return None
        with tempfile.TemporaryDirectory(prefix="gauntlet-golden-") as folder:
            draft = Path(folder) / "draft.parquet"
            frame.to_parquet(draft, index=False)
            digest = digest_file(draft)
            name = f"v{event.model_version}-{digest.removeprefix('sha256:')[:12]}.parquet"
            path = draft.rename(draft.with_name(name))
            uri = store.add(event.model_name, path, FOLDER)
    except (Transient, Unusable, ArrowException, ValueError, TypeError) as error:
        log.warning("golden predictions not kept", model_name=event.model_name, error=str(error))
        return None
    return Dataset(uri=uri, digest=digest, rows=len(frame))


def table(measurements: Measurements, policy: ModelPolicy) -> pd.DataFrame | None:
    """Return at most MOST_ROWS golden rows that the version was not trained on; None without golden predictions.

    Raises Unusable for rows that do not fit the model's signature.
    """
    rows, answers = measurements.golden, measurements.challenger_answers
    if rows is None or answers is None:
        return None
    clean = np.flatnonzero(clean_for(measurements.overlap, policy, len(rows.truth)))
    places = clean[chosen_rows(len(clean), MOST_ROWS)]
    features = rows.features_for(measurements.description).iloc[places].reset_index(drop=True)
    features.columns = features.columns.map(str)
    if OWN & set(features.columns):
        return None
    return pd.concat([features, pd.DataFrame(_own(rows, answers.only(places), places))], axis=1)


def _own(rows: GoldenRows, answers: Predictions, places: np.ndarray) -> dict[str, Any]:
    truth = rows.truth[places]
    if rows.classes is None:
        found: dict[str, Any] = {LABEL: truth, PREDICTION: answers.labels}
    else:
        found = {LABEL: _named(truth, rows.classes), PREDICTION: _named(answers.labels, rows.classes)}
        if answers.scores is not None and answers.scores.ndim == 1:
            found[SCORE] = answers.scores
    for own, name in ((ENTITY, rows.entity), (EVENT_TIME, rows.event_time)):
        if name in rows.rows.columns:
            found[own] = rows.rows[name].iloc[places].reset_index(drop=True)
    return found


def _named(numbers: np.ndarray, classes: tuple[Any, ...]) -> list[Any]:
    """Return the name of each class, as texts where the names are of several types; None for an unknown class."""
    alike = len({type(name) for name in classes}) == 1 and isinstance(classes[0], str | int | float)
    names = classes if alike else tuple(map(str, classes))
    return [names[number] if 0 <= number < len(names) else None for number in numbers.tolist()]
