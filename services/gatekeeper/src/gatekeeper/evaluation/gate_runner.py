"""Run the gates of a policy, in order, on the measurements."""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Protocol

from chassis.telemetry import get_logger
from contracts import GateVerdict, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.fail_fast import first_failed, not_run, was_run
from gatekeeper.policy.gates import (
    dependents,
    fairness,
    functional,
    integrity,
    latency,
    leakage,
    lineage,
    performance,
    robustness,
    slices,
)
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section

log = get_logger(__name__)


class Gate(Protocol):
    @property
    def name(self) -> str:
        """That of its settings in the policy."""

    @property
    def needs(self) -> frozenset[Need]: ...

    def facts(self, measurements: Measurements, policy: ModelPolicy) -> Any: ...

    def decide(self, facts: Any, settings: Any) -> GateVerdict: ...

    def section(self, verdict: GateVerdict) -> Section: ...


GATES: tuple[Gate, ...] = (
    lineage,
    integrity,
    functional,
    leakage,
    performance,
    slices,
    fairness,
    robustness,
    latency,
    dependents,
)


def asked_for(policy: ModelPolicy) -> tuple[Gate, ...]:
    """The gates that `policy` does not leave out."""
    return tuple(gate for gate in GATES if getattr(policy.gates, gate.name) is not False)


def ready(policy: ModelPolicy, known: frozenset[Need]) -> tuple[Gate, ...]:
    """The first of them, up to one that needs more than what is `known` so far."""
    return tuple(takewhile(lambda gate: gate.needs <= known, asked_for(policy)))


def needs(policy: ModelPolicy) -> frozenset[Need]:
    """What has to be measured for them."""
    return frozenset().union(*(gate.needs for gate in asked_for(policy)))


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
