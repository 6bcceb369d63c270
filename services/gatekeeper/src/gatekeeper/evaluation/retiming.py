"""Time a candidate and its champion again while the machine is too busy to tell, for a bounded time."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from chassis.mlmodel import MLmodel
from contracts.gate_settings import Latency
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.golden_rows import GoldenRows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.gates import latency
from gatekeeper.sandbox.probe import Limits, Probe, Request
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.sandbox.sandbox import Sandbox

PAUSES = (1.0, 5.0, 15.0)
"""Seconds before each further try: what keeps a machine busy may end."""
MOST_ROWS = 4000


def until_quiet(
    sandbox: Sandbox,
    measurements: Measurements,
    folder: Path,
    champion: Path | None,
    policy: ModelPolicy,
    limits: Limits,
    cancelled: threading.Event,
) -> None:
    """Replace the timings in `measurements` by later ones, until they decide or the tries are used up.

    `folder`, `champion`: the models (None: the champion is not timed). Raises Cancelled and SandboxBroken.
    """
    settings = policy.gates.latency
    if settings is False:
        return
    for pause in PAUSES:
        if not latency.is_too_noisy(latency.facts(measurements, policy), settings):
            return
        if cancelled.wait(pause):
            raise Cancelled("cancelled while the machine was too busy to time the model")
        description, rows = measurements.description, measurements.golden
        request = _request(folder, description, rows, policy, limits)
        measurements.probe = _newer(measurements.probe, sandbox.probe(request, cancelled))
        if champion is not None and measurements.champion_probe is not None and rows is not None:
            request = _request(champion, measurements.champion_description or description, rows, policy, limits)
            measurements.champion_probe = _newer(measurements.champion_probe, sandbox.probe(request, cancelled))


def _request(folder: Path, model: MLmodel, rows: GoldenRows | None, policy: ModelPolicy, limits: Limits) -> Request:
    """Return a request for the timings; without golden rows they are of the input example."""
    return Request(
        folder,
        policy.problem,
        model.classes,
        rows.features_for(model).head(MOST_ROWS) if rows else None,
        limits,
        golden_classes=rows.classes if rows else None,
        golden_only=rows is not None,
        batch_rows=(policy.gates.latency or Latency()).batch_rows,
    )


def _newer(before: Probe | None, now: Probe) -> Probe | None:
    """Return the earlier results with the newer timings, if those were complete."""
    if before is None or now.fault is not None:
        return before
    names = ("seconds", "batch_seconds", "noise", "batch_noise", "load_seconds", "load_cpu_seconds")
    return replace(before, **{name: getattr(now, name) for name in names})
