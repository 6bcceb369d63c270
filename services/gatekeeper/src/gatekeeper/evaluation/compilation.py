"""Parity check of a candidate's compiled form in the sandbox; the verdict does not depend on it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from chassis.telemetry import get_logger
from gatekeeper.evaluation.golden_rows import chosen_rows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.sandbox import compiled_form
from gatekeeper.sandbox.compiled_form import CompilationReport
from gatekeeper.sandbox.probe import Limits, Request
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.sandbox.sandbox import Sandbox

log = get_logger(__name__)


def prove(
    sandbox: Sandbox,
    measurements: Measurements,
    folder: Path,
    limits: Limits,
    tolerance: float | None,
    cancelled: threading.Event,
) -> tuple[CompilationReport, bytes | None]:
    """Check the compiled form on golden rows; also return the compiled model, if it is worth keeping.

    `tolerance` is the policy's, if it has one.
    Raises only Cancelled; the report contains any other error.
    """
    rows, probe = measurements.golden, measurements.probe
    if rows is None:
        return compiled_form.unknown(measurements.golden_problem or "there are no golden rows"), None
    if probe is None or probe.fault is not None:
        return compiled_form.unknown("the model did not answer all that it was asked"), None
    began = time.monotonic()
    try:
        features = rows.features_for(measurements.description)
        some = features.iloc[chosen_rows(len(features), compiled_form.ROWS)].reset_index(drop=True)
        tolerance = compiled_form.TOLERANCE if tolerance is None else tolerance
        limits = replace(limits, seconds=min(limits.seconds, compiled_form.SECONDS))
        found, form = sandbox.form(Request(folder, measurements.problem, None, some, limits), tolerance, cancelled)
    except Cancelled:
        raise
    except Exception as error:  # the verdict does not depend on this check
        log.exception("the parity check of the compiled form failed", model_name=measurements.event.model_name)
        found, form = compiled_form.unknown(f"{type(error).__name__}: {error}"), None
    return found.after(time.monotonic() - began), form
