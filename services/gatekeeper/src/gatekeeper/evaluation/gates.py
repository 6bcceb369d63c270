"""The gates, in the order in which they run.

A gate is a module of `gatekeeper.policy`: its name, the measurements that it needs, the facts that it extracts from
them, a pure decision on the facts, and its section of the report. A new gate is a module there, a line here, its
settings in `contracts`, and a table of test cases.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Protocol

from contracts import GateVerdict
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.measurements import Measurements
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


class Gate(Protocol):
    @property
    def name(self) -> str:
        """Name of its settings in the policy."""

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
    """Return the gates that `policy` enables."""
    return tuple(gate for gate in GATES if getattr(policy.gates, gate.name) is not False)


def ready(policy: ModelPolicy, known: frozenset[Need]) -> tuple[Gate, ...]:
    """Return the leading gates, up to the first that needs more than what is `known` so far."""
    return tuple(takewhile(lambda gate: gate.needs <= known, asked_for(policy)))


def needs(policy: ModelPolicy) -> frozenset[Need]:
    """Return the measurements that the enabled gates need."""
    return frozenset().union(*(gate.needs for gate in asked_for(policy)))
