"""Gate: the origin of the version is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import GateVerdict, Outcome
from contracts.policy import Lineage, ModelPolicy
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import plain

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "lineage"
needs: frozenset[Need] = frozenset()
section = plain


@dataclass(frozen=True)
class Facts:
    """Facts from MLflow, the event and the files; None is unknown. Digests are `sha256:<hex>`."""

    version_found: bool
    run_id: str | None = None
    run_found: bool = False
    training_digest: str | None = None
    code_version: str | None = None
    has_signature: bool = False
    artifact_declared: str | None = None
    artifact_measured: str | None = None
    artifact_problem: str | None = None
    evaluation_declared: str | None = None
    evaluation_measured: str | None = None
    evaluation_problem: str | None = None


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    event = measurements.event
    return Facts(
        version_found=measurements.version_found,
        run_id=event.run_id,
        run_found=measurements.run_found,
        training_digest=measurements.training_digest,
        code_version=event.code_version,
        has_signature=measurements.description.has_signature,
        artifact_declared=event.artifact_digest,
        artifact_measured=measurements.artifact_digest,
        artifact_problem=measurements.artifact_problem,
        evaluation_declared=event.evaluation.digest if event.evaluation else None,
        evaluation_measured=measurements.evaluation_digest,
        evaluation_problem=measurements.evaluation_problem,
    )


def decide(facts: Facts, settings: Lineage) -> GateVerdict:
    """Pass if nothing is missing and no digest differs; the reason names all problems."""
    problems = list(_problems(facts))
    reason = "; ".join(problems) or "run, training data, code version and signature are known, and all digests agree"
    details = {
        "run_id": facts.run_id,
        "training_digest": facts.training_digest,
        "code_version": facts.code_version,
        "artifact_digest": facts.artifact_measured,
        "evaluation_digest": facts.evaluation_measured,
    }
    outcome = Outcome.FAILED if problems else Outcome.PASSED
    return GateVerdict(gate=name, outcome=outcome, reason=reason, details=details)


def _problems(facts: Facts) -> list[str]:
    if not facts.version_found:
        return ["the version is not in MLflow"]
    found: list[str] = []
    if facts.run_id is None:
        found.append("the version names no run")
    elif not facts.run_found:
        found.append(f"run {facts.run_id} is not in MLflow")
    if facts.artifact_problem:
        found.append(facts.artifact_problem)
    elif not facts.has_signature:
        found.append("the model has no signature (log it with signature=…)")
    if facts.training_digest is None:
        found.append("the digest of the training data is unknown")
    if facts.code_version is None:
        found.append("the code version is unknown")
    found += _differs("artifact", facts.artifact_declared, facts.artifact_measured)
    if facts.evaluation_problem:
        found.append(facts.evaluation_problem)
    found += _differs("evaluation dataset", facts.evaluation_declared, facts.evaluation_measured)
    return found


def _differs(what: str, declared: str | None, measurements: str | None) -> list[str]:
    if declared is None or measurements is None or declared == measurements:
        return []
    return [f"the {what} has digest {measurements}, but {declared} was registered"]
