"""Run the gates of a policy, in order, on the measurements."""

from __future__ import annotations

from chassis.telemetry import get_logger
from contracts import GateVerdict, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.gates import Gate, asked_for, ready
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.fail_fast import first_failed, not_run, was_run
from gatekeeper.policy.needs import Need

log = get_logger(__name__)


def run_gates(measurements: Measurements, policy: ModelPolicy) -> tuple[GateVerdict, ...]:
    """Return one verdict per enabled gate. A gate that raises is Inconclusive: gates fail closed.

    With `fail_fast`, gates after the first failed one are reported as not run. Depends only on `measurements` and
    `policy`, so that it can be repeated from stored evidence.
    """
    return _judged(asked_for(policy), measurements, policy)


def ended_by(measurements: Measurements, policy: ModelPolicy, known: frozenset[Need]) -> GateVerdict | None:
    """With `fail_fast`, return the gate that fails on what is `known` so far, which ends the measurements."""
    return first_failed(_judged(ready(policy, known), measurements, policy)) if policy.gates.fail_fast else None


def _judged(gates: tuple[Gate, ...], measurements: Measurements, policy: ModelPolicy) -> tuple[GateVerdict, ...]:
    verdicts: list[GateVerdict] = []
    for gate in gates:
        failed = first_failed(verdicts) if policy.gates.fail_fast else None
        verdicts.append(_decided(gate, measurements, policy) if failed is None else not_run(gate.name, failed))
    return tuple(verdicts)


def _decided(gate: Gate, measurements: Measurements, policy: ModelPolicy) -> GateVerdict:
    try:
        return gate.decide(gate.facts(measurements, policy), getattr(policy.gates, gate.name))
    except Exception as error:  # a candidate does not pass a gate that raises
        log.exception("gate broke", gate=gate.name)
        reason = f"the gate itself failed: {type(error).__name__}: {error}"
        return GateVerdict(gate=gate.name, outcome=Outcome.INCONCLUSIVE, reason=reason)


def summary(outcome: Outcome, verdicts: tuple[GateVerdict, ...]) -> str:
    """Summarize the verdict in a sentence: the reasons against promotion, or how it passed."""
    if not verdicts:
        return "the policy names no gate"
    if outcome is Outcome.PASSED:
        return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if verdict.metric) or "passed"
    wanting = [verdict for verdict in verdicts if verdict.outcome is outcome]
    told = [f"{verdict.gate}: {verdict.reason}" for verdict in wanting]
    if unrun := [verdict.gate for verdict in verdicts if not was_run(verdict)]:
        told.append(f"not run (fail_fast): {', '.join(unrun)}")
    return "; ".join(told)
