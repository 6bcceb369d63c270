"""`fail_fast`: gates after the first failed one are not run, and are reported as such."""

from __future__ import annotations

from collections.abc import Iterable

from contracts import GateVerdict, Outcome
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError

NOT_RUN = "not_run"
"""Key in the details of a gate that was not run: the gate that failed before it."""


def first_failed(verdicts: Iterable[GateVerdict]) -> GateVerdict | None:
    """Return the verdict that ends the run. Inconclusive does not: later gates may still fail, which is informative."""
    return next((verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED), None)


def not_run(gate: str, failed: GateVerdict) -> GateVerdict:
    """Return the verdict of a gate after `failed`: Inconclusive, since it measured nothing."""
    reason = f"not run: the gate {failed.gate} failed, and the policy says fail_fast"
    found = MeasurementError(ErrorSource.EARLIER, reason).verdict(gate)
    return found.model_copy(update={"details": {**found.details, NOT_RUN: failed.gate}})


def was_run(verdict: GateVerdict) -> bool:
    return NOT_RUN not in verdict.details
