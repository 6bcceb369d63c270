"""`fail_fast`: the gates after the first one that failed are not run, and each of them says so."""

from __future__ import annotations

from collections.abc import Iterable

from contracts import GateVerdict, Outcome
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError

NOT_RUN = "not_run"
"""In the details of a gate that was not run: the gate that failed before it."""


def first_failed(verdicts: Iterable[GateVerdict]) -> GateVerdict | None:
    """The verdict that ends the run. Inconclusive does not: the gates after it may still fail, and say more."""
    return next((verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED), None)


def not_run(gate: str, failed: GateVerdict) -> GateVerdict:
    """The verdict of a gate after `failed`: Inconclusive, since nothing is known of what it asks."""
    reason = f"not run: the gate {failed.gate} failed, and the policy says fail_fast"
    found = MeasurementError(ErrorSource.EARLIER, reason).verdict(gate)
    return found.model_copy(update={"details": {**found.details, NOT_RUN: failed.gate}})


def was_run(verdict: GateVerdict) -> bool:
    return NOT_RUN not in verdict.details
