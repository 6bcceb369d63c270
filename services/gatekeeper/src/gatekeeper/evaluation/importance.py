"""Importance of the columns of a version that passed: predictions of permuted golden rows in the sandbox.

No gate reads it: it is for people, and for the harm of a drift.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chassis.splitmix64 import splitmix64
from chassis.telemetry import get_logger
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.golden_rows import chosen_rows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.gates.leakage import clean_for
from gatekeeper.policy.importance import (
    MOST_COLUMNS,
    SECONDS,
    Importance,
    importance_of,
    rows_within,
)
from gatekeeper.sandbox.probe import Limits, Request
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.sandbox.sandbox import Sandbox

LONGEST = 60.0
"""Seconds of its process, wall clock: loading the model too."""
SALT = 0x1A9027
"""So that the permutation is not the order by which rows are chosen."""

log = get_logger(__name__)


def measure(
    sandbox: Sandbox,
    measurements: Measurements,
    folder: Path,
    policy: ModelPolicy,
    limits: Limits,
    cancelled: threading.Event,
) -> Importance | None:
    """Measure on some of the golden rows that the version was not trained on; None without golden predictions.

    Raises only Cancelled; the result contains any other error.
    """
    rows, answers, metric = measurements.golden, measurements.challenger_answers, policy.metric
    if rows is None or answers is None or measurements.probe is None:
        return None
    began = time.monotonic()
    try:
        features = rows.features_for(measurements.description)
        names = [str(name) for name in features.columns]
        clean = np.flatnonzero(clean_for(measurements.overlap, policy, len(rows.truth)))
        asked = names[:MOST_COLUMNS]
        places = clean[chosen_rows(len(clean), rows_within(len(asked), _seconds_a_row(measurements)))]
        some = features.iloc[places].reset_index(drop=True)
        request = Request(
            folder,
            measurements.problem,
            measurements.description.classes,
            some,
            replace(limits, seconds=min(limits.seconds, LONGEST)),
            golden_classes=rows.classes,
            permuted=permutation(len(places)).tolist(),
            permuted_columns=len(asked),
            permuting_seconds=SECONDS,
        )
        found, problem = sandbox.permuted(request, cancelled)
        if len(asked) < len(names):
            limit = f"only the first {MOST_COLUMNS} of {len(names)} columns are permuted"
            problem = f"{problem}; {limit}" if problem else limit
        permuted = {asked[number]: measurements.answers(values) for number, values in found.items()}
        series = measurements.series(places)
        measured = importance_of(metric, rows.truth[places], answers.only(places), permuted, names, series, problem)
    except Cancelled:
        raise
    except Exception as error:  # the verdict does not depend on it
        log.exception("the importance of the columns was not measured", model_name=measurements.event.model_name)
        measured = Importance(metric, problem=f"{type(error).__name__}: {error}"[:500])
    return replace(measured, seconds=round(time.monotonic() - began, 3))


def permutation(n: int) -> NDArray[np.int64]:
    """Return the order (n,) in which the values of a column are taken."""
    hashes = splitmix64(np.arange(n, dtype=np.uint64) + np.uint64(SALT))
    return np.argsort(hashes, kind="stable").astype(np.int64)


def _seconds_a_row(measurements: Measurements) -> float | None:
    """Return the time of a row in a batch, as the latency gate measured it; None where it did not."""
    probe = measurements.probe
    if probe is None or not probe.batch_seconds or not probe.batch_rows:
        return None
    return float(np.median(probe.batch_seconds)) / probe.batch_rows
