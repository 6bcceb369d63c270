"""Running the gates of a policy, in order, over what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.telemetry import get_logger
from contracts import GateVerdict, Outcome
from contracts.policy import ModelPolicy
from gatekeeper import facts
from gatekeeper.measuring import Champion, Measured
from gatekeeper.policy import functional, latency, lineage, performance
from gatekeeper.provenance import Provenance

log = get_logger(__name__)


def judge(
    found: Provenance, measured: Measured, policy: ModelPolicy, champion: Champion | None
) -> tuple[GateVerdict, ...]:
    """One verdict a gate that the policy does not leave out. A gate that breaks is Inconclusive: gates fail closed."""
    gates: dict[str, Callable[[Any], GateVerdict]] = {
        lineage.name: lambda settings: lineage.decide(facts.lineage_facts(found, measured), settings),
        functional.name: lambda settings: functional.decide(facts.functional_facts(measured, policy), settings),
        performance.name: lambda settings: performance.decide(
            facts.performance_facts(measured, policy, champion), settings
        ),
        latency.name: lambda settings: latency.decide(facts.latency_facts(measured), settings),
    }
    verdicts: list[GateVerdict] = []
    for name, gate in gates.items():
        settings = getattr(policy.gates, name)
        if settings is False:
            continue
        try:
            verdicts.append(gate(settings))
        except Exception as error:  # whatever breaks in a gate, the candidate has not passed it
            log.exception("gate broke", gate=name)
            reason = f"the gate itself failed: {type(error).__name__}: {error}"
            verdicts.append(GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason))
    return tuple(verdicts)


def summary(outcome: Outcome, verdicts: tuple[GateVerdict, ...]) -> str:
    """The verdict in a sentence: what stood in the way, or how it passed."""
    if not verdicts:
        return "the policy names no gate"
    if outcome is Outcome.PASSED:
        return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if verdict.metric) or "passed"
    wanting = [verdict for verdict in verdicts if verdict.outcome is outcome]
    return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in wanting)
