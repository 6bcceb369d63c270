"""Gate: the origin of the version is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Lineage
from contracts.policy import ModelPolicy
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import plain

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "lineage"
needs: frozenset[Need] = frozenset()
section = plain


TRAINING_DATA = 'mlflow.log_input(…, context="training")'
CODE = "MLflow records the commit of a run that is started from a Git repository"


@dataclass(frozen=True)
class Origin:
    """What MLflow records of a run besides data and metrics.

    `code_claimed`: the code version was set by hand (a tag that is no commit, a field of the event), not recorded by
    the tool that ran the code. `source`: the script or notebook.
    """

    run_deleted: bool = False
    code_claimed: bool = False
    source: str | None = None


@dataclass(frozen=True)
class Facts:
    """Facts from MLflow, the event and the files; None is unknown. Digests are `sha256:<hex>`."""

    version_found: bool
    run_id: str | None = None
    run_found: bool = False
    training_digest: str | None = None
    code_version: str | None = None
    origin: Origin | None = None
    """None: not recorded, in older evidence."""
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
        origin=measurements.origin,
        has_signature=measurements.description.has_signature,
        artifact_declared=event.artifact_digest,
        artifact_measured=measurements.artifact_digest,
        artifact_problem=measurements.artifact_problem,
        evaluation_declared=event.evaluation.digest if event.evaluation else None,
        evaluation_measured=measurements.evaluation_digest,
        evaluation_problem=measurements.evaluation_problem,
    )


def decide(facts: Facts, settings: Lineage) -> GateVerdict:
    """Pass if nothing that is required is missing and no digest differs; the reason names all problems."""
    missing = _missing(facts)
    wrong = _problems(facts)
    if facts.version_found:
        required = {part: what for part, what in missing.items() if part in settings.require}
        # In the order of earlier versions, whose evidence is replayed.
        first, last = (required.pop("run", None), wrong.pop("artifact", None)), tuple(wrong.values())
        problems = [each for each in (*first, *required.values(), *last) if each]
    else:
        problems = ["the version is not in MLflow"]
    details: dict[str, Any] = {
        "run_id": facts.run_id,
        "training_digest": facts.training_digest,
        "code_version": facts.code_version,
        "artifact_digest": facts.artifact_measured,
        "evaluation_digest": facts.evaluation_measured,
    }
    if facts.origin is not None:
        claimed, source = facts.origin.code_claimed, facts.origin.source
        details |= {"code_claimed": claimed, "source": source, "missing": sorted(missing)}
    reason = "; ".join(problems) or _known(facts, missing)
    outcome = Outcome.FAILED if problems else Outcome.PASSED
    return GateVerdict(gate=name, outcome=outcome, reason=reason, details=details)


def _known(facts: Facts, missing: Mapping[str, str]) -> str:
    words = {"run": "run", "data": "training data", "code": "code version", "signature": "signature"}
    known = [word for part, word in words.items() if part not in missing]
    *most, last = known or ["nothing of its origin"]
    told = f"{', '.join(most)} and {last} are known" if most else f"{last} is known"
    told += ", and all digests agree"
    if facts.origin is not None and facts.origin.code_claimed:
        told += f"; the code version {facts.code_version!r} is claimed, not recorded"
    return "; ".join((told, *(f"not required: {missing[part]}" for part in missing)))


def _missing(facts: Facts) -> dict[str, str]:
    """Return what is not known, by the word of the policy, and what supplies it."""
    found: dict[str, str] = {}
    if facts.run_id is None:
        found["run"] = "the version names no run"
    elif facts.origin is not None and facts.origin.run_deleted:
        found["run"] = f"run {facts.run_id} is deleted in MLflow (mlflow runs restore --run-id {facts.run_id})"
    elif not facts.run_found:
        found["run"] = f"run {facts.run_id} is not in MLflow"
    if not facts.artifact_problem and not facts.has_signature:
        found["signature"] = "the model has no signature (log it with signature=…)"
    if facts.training_digest is None:
        found["data"] = "the digest of the training data is unknown" + _remedy(facts, TRAINING_DATA)
    if facts.code_version is None:
        source = facts.origin.source if facts.origin is not None else None
        named = f"it names {source}; " if source else ""
        found["code"] = "the code version is unknown" + _remedy(facts, f"{named}{CODE}")
    return found


def _remedy(facts: Facts, text: str) -> str:
    return "" if facts.origin is None else f" ({text})"


def _problems(facts: Facts) -> dict[str, str]:
    """Return what is wrong, whatever the policy requires."""
    found = {
        "artifact": facts.artifact_problem,
        "artifact digest": _differs("artifact", facts.artifact_declared, facts.artifact_measured),
        "evaluation": facts.evaluation_problem,
        "evaluation digest": _differs("evaluation dataset", facts.evaluation_declared, facts.evaluation_measured),
    }
    return {part: what for part, what in found.items() if what}


def _differs(what: str, declared: str | None, measured: str | None) -> str | None:
    if declared is None or measured is None or declared == measured:
        return None
    return f"the {what} has digest {measured}, but {declared} was registered"
