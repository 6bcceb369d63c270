"""What a dry run found missing, from its measurements and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Minimum
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.remedies import Shortfalls


def shortfalls(measurements: Measurements, policy: ModelPolicy, verdicts: Sequence[GateVerdict]) -> Shortfalls:
    """Only what this policy wants: a gate that passed, or that is off, misses nothing."""
    unmet = {verdict.gate: verdict for verdict in verdicts if verdict.outcome is not Outcome.PASSED}
    lineage, golden = "lineage" in unmet, measurements.golden
    return Shortfalls(
        model=policy.model,
        version=measurements.event.model_version,
        run=measurements.run_found or not lineage,
        signature=measurements.description.has_signature or measurements.artifact_problem is not None,
        training_data=measurements.training_digest is not None or not lineage,
        code=measurements.event.code_version is not None or not lineage,
        golden=golden is not None or measurements.golden_digest is not None,
        golden_problem=measurements.golden_problem,
        label=golden.label if golden else policy.label,
        training_rows="leakage" not in unmet or measurements.overlap is None or measurements.overlap.unknown is None,
        rows_needed=_rows_needed(unmet),
        not_allowed=_not_allowed(unmet),
        floor_missing_for=_without_floor(measurements, policy),
    )


def _rows_needed(unmet: Mapping[str, GateVerdict]) -> int | None:
    verdict = unmet.get("performance")
    needed = verdict.details.get("rows_for_power") if verdict else None
    if verdict is None or verdict.outcome is not Outcome.INCONCLUSIVE or needed is None or verdict.n is None:
        return None
    return int(needed) if needed > verdict.n else None


def _not_allowed(unmet: Mapping[str, GateVerdict]) -> tuple[str, ...]:
    verdict = unmet.get("integrity")
    return tuple(verdict.details.get("outside_allow_list", ())) if verdict else ()


def _without_floor(measurements: Measurements, policy: ModelPolicy) -> str | None:
    gate = policy.gates.performance
    if measurements.champion is not None or gate is False or gate.floor or isinstance(gate.rule, Minimum):
        return None
    return policy.metric
