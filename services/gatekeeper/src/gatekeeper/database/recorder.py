"""Record decisions in the caller's transaction: rows, events, audit, and the job that mirrors them to MLflow."""

from __future__ import annotations

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
    Promoted,
    Result,
    Stage,
    overall,
)
from contracts.policy import ModelPolicy
from gatekeeper.database import challenges, queries, rollouts
from gatekeeper.database.audit_trail import ACTOR as ACTOR
from gatekeeper.database.candidate_verdict import (
    CandidateVerdict,
    TournamentWinner,
    candidate_result_of,
    count,
    once,
    result,
    write,
)
from gatekeeper.database.challenges import Challenge
from gatekeeper.database.job_kinds import MANIFEST, MIRROR
from gatekeeper.database.promotions import promotion_of
from gatekeeper.database.rollout_recorder import RolloutRecorder
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.tables import SUPERSEDED, UNJUDGED, CandidateRow, PromotionRow
from gatekeeper.policy.promotion import (
    AfterGates,
    BeginRollout,
    CandidateResult,
    Hold,
    Promote,
    Reevaluate,
    Wait,
    after_gates,
    after_tournament,
)
from gatekeeper.telemetry import PROMOTIONS, after_commit

log = get_logger(__name__)


class Recorder:
    """Every method writes to the given session only."""

    def __init__(self, outbox: Outbox, jobs: Jobs) -> None:
        self._outbox = outbox
        self.jobs = jobs
        self.rollouts = RolloutRecorder(outbox, self.mirror)

    def judged(self, session: Session, candidate_verdict: CandidateVerdict, policy: ModelPolicy | None) -> None:
        """Record a verdict and the promotion that follows from it. Raises RunAgain when the champion has changed."""
        queries.lock(session, candidate_verdict.event.model_name)
        row = queries.candidate(session, candidate_verdict.event.model_name, candidate_verdict.event.model_version)
        if row is None or row.state not in UNJUDGED:
            log.warning("verdict not recorded: there is one", model_name=candidate_verdict.event.model_name)
            return
        outcome = overall(candidate_verdict.verdicts)
        candidate_result = candidate_result_of(row, outcome, candidate_verdict.compared_with, policy)
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
        after_commit(session, partial(count, outcome, candidate_verdict.verdicts))
        if candidate_verdict.won is not None and policy is not None:
            crowned = self.promote_winner(
                session, candidate_verdict.won, candidate_result, policy, verdict, evidence_id=row.id
            )
            if crowned and isinstance(action, Promote | BeginRollout | Wait):
                action = Hold(f"v{candidate_verdict.won.model_version} did better on the same golden rows (tournament)")
        self._follow(session, row, action, candidate_verdict.reason, policy, verdict)
        if not isinstance(action, Promote) and candidate_verdict.in_registry:
            self.mirror(session, row.model_name, row.model_version, cause)

    def _follow(
        self,
        session: Session,
        row: CandidateRow,
        action: AfterGates,
        reason: str,
        policy: ModelPolicy | None,
        verdict: Envelope[Any],
    ) -> None:
        """Do what follows from a verdict."""
        running = rollouts.running(session, row.model_name)
        own = running is not None and running.model_version == row.model_version and running.stage != Stage.WATCH
        if running is not None and own and not isinstance(action, BeginRollout):  # which takes its place
            why = f"v{row.model_version} was judged again meanwhile: {reason}"
            self.rollouts.end(session, running, Result.SUPERSEDED, why, cause=verdict)
        if isinstance(action, Promote | BeginRollout | Wait) and policy is not None:
            challenge = challenges.challenge_for(session, row, policy, reason)
            if isinstance(action, Promote):
                self.promote_challenge(session, row, action, challenge, policy, verdict)
            else:
                self.challenge(session, row, action, challenge, policy, verdict)
        elif isinstance(action, Hold):
            self.audit(session, "held", row, action.reason, verdict)

    def challenge(
        self,
        session: Session,
        row: CandidateRow,
        action: BeginRollout | Wait,
        challenge: Challenge,
        policy: ModelPolicy,
        cause: Envelope[Any] | None,
    ) -> None:
        """Begin the rollout of a version, or have it wait for the end of another."""
        if isinstance(action, BeginRollout):
            why = f"{challenge.reason}{action.left_out}"
            self.rollouts.begin(session, row, challenge, action.plan, policy, reason=why, cause=cause)
        else:
            challenges.wait(session, row, challenge, cause)
            self.audit(session, "waits", row, action.reason, cause)

    def promote_challenge(
        self,
        session: Session,
        row: CandidateRow,
        action: Promote,
        challenge: Challenge,
        policy: ModelPolicy,
        cause: Envelope[Any] | None,
    ) -> None:
        """Promote a version that has to prove nothing more."""
        event = promotion_of(
            session,
            row,
            action,
            actor=ACTOR,
            reason=f"{challenge.reason}{action.left_out}",
            metric=challenge.metric,
            evidence_id=challenge.evidence_id,
            baseline=challenge.baseline,
            output=challenge.output_format,
        )
        gated_candidate = None if challenge.tournament else once(row)
        self.record_promotion(session, event, cause=cause, gated_candidate=gated_candidate, policy=policy)

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
        """Promote a tournament's winner, or begin its rollout; False when it is held."""
        row = queries.candidate(session, policy.model, won.model_version)
        if row is None:
            return False
        action = after_tournament(
            candidate_result, won.model_version, queries.state(session, policy.model), row.quarantine
        )
        challenge = challenges.challenge_for(
            session,
            row,
            policy,
            f"tournament: {won.reason}",
            baseline=won.metrics,
            output=won.output,
            evidence_id=evidence_id,
            tournament=True,
        )
        if isinstance(action, Promote):
            self.promote_challenge(session, row, action, challenge, policy, cause)
            return True
        if isinstance(action, BeginRollout | Wait):
            self.challenge(session, row, action, challenge, policy, cause)
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
        policy: ModelPolicy | None,
    ) -> Envelope[Promoted]:
        """Promote a candidate, as a person wants it."""
        metric = policy.metric if policy else None
        event = promotion_of(session, row, decision, actor=actor, reason=reason, metric=metric)
        return self.record_promotion(session, event, policy=policy)

    def record_promotion(
        self,
        session: Session,
        event: Promoted,
        *,
        cause: Envelope[Any] | None = None,
        gated_candidate: str | None = None,
        by: RolloutRow | None = None,
        policy: ModelPolicy | None = None,
    ) -> Envelope[Promoted]:
        """Record `event` as the newest epoch: row, event, audit, mirror, and what follows for rollouts.

        `by`: the rollout that led to it; every other one ends. `policy`: says whether the new champion is watched.
        """
        previous = queries.champion(session, event.model_name)
        envelope = self._outbox.emit(session, event, cause=cause, correlation_id=by.correlation_id if by else None)
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
        self.jobs.enqueue(session, kind=MANIFEST, key=event.model_name, payload={"epoch": event.epoch}, cause=envelope)
        session.flush()
        self.rollouts.after_promotion(session, envelope, previous, by=by, policy=policy)
        after_commit(session, lambda: PROMOTIONS.labels(event.cause.value).inc())
        return envelope

    def republish(self, session: Session, row: PromotionRow) -> None:
        """Emit a promotion again under the same id, after the topic has lost it."""
        self._outbox.emit(session, Promoted.model_validate(row.event), event_id=row.event_id, time=row.promoted_at)

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
