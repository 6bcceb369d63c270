"""manifest.json: what a promoted version is, in one file, as docs/reference/manifest.md lists its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis import mlmodel
from contracts import GateVerdict, ModelRegistered, Promoted
from contracts.policy import ModelPolicy
from gatekeeper.artifacts import requirements
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.leakage import clean_rows
from gatekeeper.policy.statistics import bootstrap, estimates
from gatekeeper.policy.statistics.estimates import Unmeasurable

FORMAT = 1
ALPHA = 0.05
"""Of each bound of a metric's interval."""


@dataclass(frozen=True)
class Rests:
    """What a promotion rests on. `problem`: why the golden rows could not be read again."""

    verdicts: tuple[GateVerdict, ...] = ()
    policy_digest: str | None = None
    measured: Measurements | None = None
    policy: ModelPolicy | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ModelFiles:
    """What the files of a model say, without running any of its code. `problem`: why they could not be read."""

    features: list[dict[str, Any]] | None = None
    requirements: list[str] | None = None
    python: str | None = None
    problem: str | None = None


def document(
    event: Promoted,
    promoted_at: str,
    event_id: str,
    registered: ModelRegistered | None,
    rests: Rests,
    files: ModelFiles,
) -> dict[str, Any]:
    """Return the manifest of one epoch; the same for the same records."""
    training = registered.training if registered else None
    return {
        "format": FORMAT,
        "model": event.model_name,
        "version": event.model_version,
        "epoch": event.epoch,
        "promoted_at": promoted_at,
        "actor": event.actor,
        "cause": event.cause.value,
        "reason": event.reason,
        "previous_version": event.previous_version,
        "event_id": event_id,
        "evidence_id": event.evidence_id,
        "policy_digest": rests.policy_digest,
        "run_id": registered.run_id if registered else None,
        "code_version": registered.code_version if registered else None,
        "artifact": {"uri": event.artifact_uri, "digest": event.artifact_digest},
        "serving_artifact": _dumped(event.serving_artifact),
        "training": _dumped(training),
        "reference": _dumped(event.reference),
        "golden": _golden(rests.measured),
        "metric": event.metric,
        "metrics": metrics(event.baseline, event.metric, rests),
        "confidence": 1 - ALPHA,
        "comparison": _comparison(rests.verdicts),
        "gates": {verdict.gate: verdict.outcome.value for verdict in rests.verdicts},
        "output": _dumped(event.output),
        "features": files.features,
        "requirements": files.requirements,
        "python": files.python,
        "problems": [problem for problem in (rests.problem, files.problem) if problem],
    }


def metrics(baseline: Mapping[str, float], main: str | None, rests: Rests) -> dict[str, dict[str, Any]]:
    """Return each metric on the golden rows with its interval; null where it was not computed.

    Of metrics that only resampling gives an interval of, the policy's own has one: the others would take minutes.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in baseline.items():
        found[name] = {"value": value, "low": None, "high": None, "rows": None, "method": None}
        if rests.measured is not None and rests.policy is not None and (name == main or not _is_costly(name)):
            found[name] |= _interval(name, rests.measured, rests.policy)
    return found


def files_of(folder: Path) -> ModelFiles:
    """Read the features and the requirements of a model. Raises ValueError as `mlmodel.read` does."""
    described = mlmodel.read(folder)
    listed, python = requirements.lines(folder)
    features = None
    if described.inputs is not None:
        kinds = described.kinds or (None,) * len(described.inputs)
        features = [
            {"name": name, "type": kind, "required": name not in described.optional}
            for name, kind in zip(described.inputs, kinds, strict=True)
        ]
    return ModelFiles(features, listed, python)


def _is_costly(metric: str) -> bool:
    return bootstrap.is_resampled(metric)


def _interval(metric: str, measured: Measurements, policy: ModelPolicy) -> dict[str, Any]:
    answers, rows = measured.challenger_answers, measured.golden
    if answers is None or rows is None:
        return {}
    clean, clusters = clean_rows(measured, policy), measured.clusters
    try:
        found = estimates.estimate(
            metric,
            rows.truth[clean],
            answers.only(clean),
            ALPHA,
            None if clusters is None else clusters[clean],
            measured.series(clean),
        )
    except Unmeasurable:
        return {}
    return {"low": found.lower, "high": found.upper, "rows": found.n, "method": found.method}


def _golden(measured: Measurements | None) -> dict[str, Any] | None:
    if measured is None or measured.golden_digest is None:
        return None
    rows = measured.golden
    return {
        "uri": measured.golden_uri,
        "digest": measured.golden_digest,
        "rows": len(rows.truth) if rows else None,
        "label": rows.label if rows else None,
        "entity": rows.entity if rows else None,
        "event_time": rows.event_time if rows else None,
        "until": measured.golden_until,
    }


def _comparison(verdicts: tuple[GateVerdict, ...]) -> dict[str, Any] | None:
    """Return the gain over the champion of then, as the performance gate found it."""
    own = next((verdict for verdict in verdicts if verdict.gate == performance.name), None)
    if own is None or "difference" not in own.details:
        return None
    details = own.details
    return {
        "metric": own.metric,
        "champion_version": details.get("champion_version"),
        "champion": details["champion"],
        "gain": details["difference"],
        "low": details["lower"],
        "high": details["upper"],
        "rows": own.n,
    }


def _dumped(value: Any) -> Any:
    return None if value is None else value.model_dump(mode="json")
