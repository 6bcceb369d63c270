"""Record decisions in the caller's transaction: rows, events, audit, and the job that mirrors them to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from chassis.job_worker import RunAgain
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.telemetry import get_logger
from contracts import (
    Envelope,
    GateVerdict,
    Outcome,
    OutputFormat,
    Promoted,
    ServingArtifact,
    overall,
)
from contracts.policy import ModelPolicy
from gatekeeper.database import queries
from gatekeeper.database.candidate_verdict import CandidateVerdict, TournamentWinner, result, write
from gatekeeper.database.job_kinds import MIRROR
from gatekeeper.database.tables import SUPERSEDED, UNJUDGED, CandidateRow
from gatekeeper.policy.promotion import CandidateResult, Hold, Promote, Reevaluate, after_gates, after_tournament
from gatekeeper.telemetry import GATES, PROMOTIONS, VERDICTS, after_commit

ACTOR = "gatekeeper"

log = get_logger(__name__)


class Recorder:
    """Every method writes to the given session only."""

    def __init__(self, outbox: Outbox, jobs: Jobs) -> None:
        self._outbox = outbox
        self.jobs = jobs

    def judged(self, session: Session, candidate_verdict: CandidateVerdict, policy: ModelPolicy | None) -> None:
        """Record a verdict and the promotion that follows from it. Raises RunAgain when the champion has changed."""
        queries.lock(session, candidate_verdict.event.model_name)
        row = queries.candidate(session, candidate_verdict.event.model_name, candidate_verdict.event.model_version)
        if row is None or row.state not in UNJUDGED:
            log.warning("verdict not recorded: there is one", model_name=candidate_verdict.event.model_name)
            return
        outcome = overall(candidate_verdict.verdicts)
        candidate_result = CandidateResult(
            model_version=row.model_version,
            outcome=outcome,
            compared_with=candidate_verdict.compared_with,
            strategy=policy.strategy_in_words if policy else "none",
            approval="people" if policy and policy.approval else "none",
        )
        action = after_gates(candidate_result, queries.state(session, row.model_name))
        if isinstance(action, Reevaluate) and policy is not None:
            raise RunAgain(action.reason)
        cause = queries.envelope_of(row)
        write(row, candidate_verdict, outcome, policy)
        queries.add_verdicts(session, row, candidate_verdict.verdicts)
        verdict = self._outbox.emit(session, result(row, candidate_verdict, outcome, policy), cause=cause)
        log.info("judged", candidate=row.id, outcome=outcome.value, reason=candidate_verdict.reason)
        evidence = {"candidate_id": row.id, "policy_digest": row.policy_digest, "event_id": verdict.id}
        queries.add_audit(
            session,
            "judged",
            row.model_name,
            row.model_version,
            actor=ACTOR,
            reason=f"{outcome.value}: {candidate_verdict.reason}",
            evidence=evidence,
            correlation_id=cause.correlation_id,
        )
        after_commit(session, partial(_count, outcome, candidate_verdict.verdicts))
        if candidate_verdict.won is not None and policy is not None:
            crowned = self.promote_winner(
                session, candidate_verdict.won, candidate_result, policy, verdict, evidence_id=row.id
            )
            if crowned and isinstance(action, Promote):
                action = Hold(f"v{candidate_verdict.won.model_version} did better on the same golden rows (tournament)")
        if isinstance(action, Promote):
            metric = policy.metric if policy else None
            self.promote(
                session,
                row,
                action,
                actor=ACTOR,
                reason=candidate_verdict.reason,
                metric=metric,
                cause=verdict,
                gated=True,
            )
            return
        if isinstance(action, Hold):
            self.audit(session, "held", row, action.reason, cause)
        if candidate_verdict.in_registry:
            self.mirror(session, row.model_name, row.model_version, cause)

    def promote_winner(
        self,
        session: Session,
        won: TournamentWinner,
        candidate_result: CandidateResult,
        policy: ModelPolicy,
        cause: Envelope[Any] | None,
        *,
        evidence_id: str,
    ) -> bool:
        """Promote a tournament's winner; False when the model is frozen or requires approval."""
        row = queries.candidate(session, policy.model, won.model_version)
        if row is None:
            return False
        action = after_tournament(candidate_result, won.model_version, queries.state(session, policy.model))
        if isinstance(action, Promote):
            reason, metric = f"tournament: {won.reason}", policy.metric
            self.promote(
                session,
                row,
                action,
                actor=ACTOR,
                reason=reason,
                metric=metric,
                cause=cause,
                evidence_id=evidence_id,
                baseline=won.metrics,
                output=won.output,
            )
            return True
        if isinstance(action, Hold):
            self.audit(session, "held", row, f"it won a tournament, but {action.reason}", cause)
        return False

    def superseded(self, session: Session, row: CandidateRow, reason: str) -> None:
        """Record that a candidate is not gated because it was superseded."""
        if row.state not in UNJUDGED:
            return
        row.state, row.reason, row.judged_at = SUPERSEDED, reason, datetime.now(UTC)
        self.audit(session, "superseded", row, reason, queries.envelope_of(row))
        self.mirror(session, row.model_name, row.model_version, None)

    def promote(
        self,
        session: Session,
        row: CandidateRow,
        decision: Promote,
        *,
        actor: str,
        reason: str,
        metric: str | None,
        cause: Envelope[Any] | None = None,
        gated: bool = False,
        evidence_id: str | None = None,
        baseline: Mapping[str, float] | None = None,
        output: OutputFormat | None = None,
    ) -> Envelope[Promoted]:
        """Promote a candidate. Its own verdict, metrics and output format are used, unless others are given."""
        registered = queries.envelope_of(row).data
        event = Promoted(
            model_name=row.model_name,
            model_version=row.model_version,
            epoch=decision.epoch,
            artifact_uri=row.artifact_uri or "",
            artifact_digest=row.artifact_digest or "",
            serving_artifact=_serving_artifact(row),
            previous_version=decision.previous_version,
            cause=decision.cause,
            actor=actor,
            reason=reason,
            evidence_id=evidence_id or row.id,
            metric=metric,
            baseline=dict(row.metrics if baseline is None else baseline),
            reference=registered.reference,
            output=output or _output(session, row),
        )
        return self.record_promotion(session, event, cause=cause, gated_candidate=_once(row) if gated else None)

    def record_promotion(
        self,
        session: Session,
        event: Promoted,
        *,
        cause: Envelope[Any] | None = None,
        gated_candidate: str | None = None,
    ) -> Envelope[Promoted]:
        """Record `event` as the newest epoch: row, event, audit, mirror."""
        envelope = self._outbox.emit(session, event, cause=cause)
        queries.add_promotion(session, envelope, gated_candidate=gated_candidate)
        queries.add_audit(
            session,
            "rolled back" if event.cause == "rollback" else "promoted",
            event.model_name,
            event.model_version,
            actor=event.actor,
            reason=event.reason,
            evidence={
                "epoch": event.epoch,
                "cause": event.cause.value,
                "previous_version": event.previous_version,
                "evidence_id": event.evidence_id,
                "artifact_digest": event.artifact_digest,
                "event_id": envelope.id,
            },
            correlation_id=envelope.correlation_id,
        )
        self.mirror(session, event.model_name, event.model_version, envelope)
        after_commit(session, lambda: PROMOTIONS.labels(event.cause.value).inc())
        return envelope

    def republish(self, session: Session, event_id: str, event: Promoted) -> None:
        """Emit a promotion again under the same id, after the topic has lost it."""
        self._outbox.emit(session, event, event_id=event_id)

    def audit(self, session: Session, action: str, row: CandidateRow, reason: str, cause: Envelope[Any] | None) -> None:
        queries.add_audit(
            session,
            action,
            row.model_name,
            row.model_version,
            actor=ACTOR,
            reason=reason,
            evidence={"candidate_id": row.id},
            correlation_id=cause.correlation_id if cause else None,
        )

    def mirror(self, session: Session, model_name: str, model_version: int | None, cause: Envelope[Any] | None) -> None:
        """Enqueue the job that updates MLflow's aliases, and this version's tags, to the recorded state."""
        payload = {"model_version": model_version}
        self.jobs.enqueue(session, kind=MIRROR, key=model_name, payload=payload, cause=cause)


def _once(row: CandidateRow) -> str:
    """Return the key under which the gates promote a version at most once per verdict."""
    return row.id if row.judgement == 1 else f"{row.id}#{row.judgement}"


def _serving_artifact(row: CandidateRow) -> ServingArtifact | None:
    return None if row.serving_artifact is None else ServingArtifact.model_validate(row.serving_artifact)


def _output(session: Session, row: CandidateRow) -> OutputFormat | None:
    """Return that of its verdict; of its last promotion where it has none, as after a restore from the topic."""
    if row.output is not None:
        return OutputFormat.model_validate(row.output)
    earlier = queries.promotion_of(session, row.model_name, row.model_version)
    return None if earlier is None else Promoted.model_validate(earlier.event).output


def _count(outcome: Outcome, verdicts: tuple[GateVerdict, ...]) -> None:
    VERDICTS.labels(outcome.value).inc()
    for verdict in verdicts:
        GATES.labels(verdict.gate, verdict.outcome.value).inc()
