"""Running the gates of a policy, in order, over what was measured."""

from __future__ import annotations

from chassis.telemetry import get_logger
from contracts import GateVerdict, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.gates import asked_for
from gatekeeper.measured import Measured

log = get_logger(__name__)


def judge(measured: Measured, policy: ModelPolicy) -> tuple[GateVerdict, ...]:
    """One verdict a gate that the policy does not leave out. A gate that breaks is Inconclusive: gates fail closed.

    Nothing but `measured` and `policy` goes into it, so that it can be repeated from what was kept.
    """
    verdicts: list[GateVerdict] = []
    for gate in asked_for(policy):
        try:
            verdicts.append(gate.decide(gate.facts(measured, policy), getattr(policy.gates, gate.name)))
        except Exception as error:  # whatever breaks in a gate, the candidate has not passed it
            log.exception("gate broke", gate=gate.name)
            reason = f"the gate itself failed: {type(error).__name__}: {error}"
            verdicts.append(GateVerdict(gate=gate.name, outcome=Outcome.INCONCLUSIVE, reason=reason))
    return tuple(verdicts)


def summary(outcome: Outcome, verdicts: tuple[GateVerdict, ...]) -> str:
    """The verdict in a sentence: what stood in the way, or how it passed."""
    if not verdicts:
        return "the policy names no gate"
    if outcome is Outcome.PASSED:
        return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if verdict.metric) or "passed"
    wanting = [verdict for verdict in verdicts if verdict.outcome is outcome]
    return "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in wanting)
