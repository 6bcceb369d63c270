"""The verdict on a candidate: as it is reached, in its row, and as the event that tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from contracts import (
    Dataset,
    GateFailed,
    GatePassed,
    GateVerdict,
    ModelRegistered,
    Outcome,
    OutputFormat,
    ServingArtifact,
)
from contracts.policy import ModelPolicy
from gatekeeper.database import queries
from gatekeeper.database.tables import CandidateRow
from gatekeeper.policy.promotion import CandidateResult, steps_of
from gatekeeper.telemetry import GATES, VERDICTS

STATES = {Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.INCONCLUSIVE: "inconclusive"}


@dataclass(frozen=True)
class TournamentWinner:
    """A retained version that won a tournament, with its metrics on the tournament's golden rows; `output` as read."""

    model_version: int
    reason: str
    metrics: Mapping[str, float]
    output: OutputFormat | None


@dataclass(frozen=True)
class CandidateVerdict:
    """The result of gating one candidate."""

    event: ModelRegistered
    verdicts: tuple[GateVerdict, ...]
    reason: str
    registered_at: datetime
    compared_with: int | None = None
    artifact_digest: str | None = None
    golden_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    won: TournamentWinner | None = None
    serving_artifact: ServingArtifact | None = None
    output: OutputFormat | None = None
    """None where the model could not be read, or there is no policy."""
    golden_predictions: Dataset | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    """By how much the policy's metric is worse when a column is permuted."""
    registered_by: tuple[str, ...] = ()
    """People who are known to have registered or logged it."""
    in_registry: bool = True
    """False: MLflow has no such version, on which the verdict could be shown."""


def write(row: CandidateRow, candidate_verdict: CandidateVerdict, outcome: Outcome, policy: ModelPolicy | None) -> None:
    row.state = STATES[outcome]
    row.reason = candidate_verdict.reason
    row.event = queries.envelope_of(row).model_copy(update={"data": candidate_verdict.event}).model_dump(mode="json")
    row.registered_at = candidate_verdict.registered_at
    row.artifact_uri = candidate_verdict.event.artifact_uri
    row.artifact_digest = candidate_verdict.artifact_digest
    row.serving_artifact = candidate_verdict.serving_artifact and candidate_verdict.serving_artifact.model_dump(
        mode="json"
    )
    row.output = candidate_verdict.output and candidate_verdict.output.model_dump(mode="json")
    golden = candidate_verdict.golden_predictions
    row.golden_predictions = golden and golden.model_dump(mode="json")
    row.importance = dict(candidate_verdict.importance)
    row.champion_version = candidate_verdict.compared_with
    row.golden_digest = candidate_verdict.golden_digest
    row.policy_digest = policy.digest if policy else None
    row.metrics = dict(candidate_verdict.metrics)
    row.evidence = dict(candidate_verdict.evidence)
    row.registered_by = list(candidate_verdict.registered_by)
    row.judged_at = datetime.now(UTC)


def result(
    row: CandidateRow, candidate_verdict: CandidateVerdict, outcome: Outcome, policy: ModelPolicy | None
) -> GatePassed | GateFailed:
    passed = partial(GatePassed, serving_artifact=candidate_verdict.serving_artifact, output=candidate_verdict.output)
    return (passed if outcome is Outcome.PASSED else GateFailed)(
        model_name=row.model_name,
        model_version=row.model_version,
        candidate_id=row.id,
        outcome=outcome,
        reason=candidate_verdict.reason,
        artifact_uri=row.artifact_uri or f"models:/{row.model_name}/{row.model_version}",
        artifact_digest=row.artifact_digest,
        champion_version=candidate_verdict.compared_with,
        policy_digest=policy.digest if policy else "none",
        strategy=policy.strategy_in_words if policy else "none",
        verdicts=candidate_verdict.verdicts,
    )


def candidate_result_of(
    row: CandidateRow, outcome: Outcome, compared_with: int | None, policy: ModelPolicy | None
) -> CandidateResult:
    """Return what follows from a verdict depends on."""
    return CandidateResult(
        model_version=row.model_version,
        outcome=outcome,
        compared_with=compared_with,
        plan=steps_of(policy) if policy else (),
        supersedes=policy is not None and policy.supersede == "newest",
        quarantine=row.quarantine,
    )


def once(row: CandidateRow) -> str:
    """Return the key under which the gates promote a version at most once per verdict."""
    return row.id if row.judgement == 1 else f"{row.id}#{row.judgement}"


def count(outcome: Outcome, verdicts: tuple[GateVerdict, ...]) -> None:
    VERDICTS.labels(outcome.value).inc()
    for verdict in verdicts:
        GATES.labels(verdict.gate, verdict.outcome.value).inc()
