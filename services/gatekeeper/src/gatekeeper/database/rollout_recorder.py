"""Record the steps of rollouts in the caller's transaction: row, event, audit, and the job that mirrors to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from chassis.outbox import Outbox
from chassis.telemetry import get_logger
from contracts import (
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    Cause,
    Envelope,
    Promoted,
    Result,
    RolloutChanged,
    Stage,
    TriedVersion,
)
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, rollouts
from gatekeeper.database.audit_trail import ACTOR
from gatekeeper.database.challenges import Challenge, challenge_for, quarantine, release
from gatekeeper.database.promotions import former_champion, serving_artifact
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.tables import CandidateRow, PromotionRow
from gatekeeper.policy.rollout import Decided, Step, watch_of
from gatekeeper.policy.rollout_loss import rollout_loss
from gatekeeper.telemetry import ROLLOUTS, after_commit

WATCHED = (Cause.GATE, Cause.TRIAL, Cause.TOURNAMENT, Cause.APPROVAL)
"""Causes of promotions that a watch follows; who overrides a verdict or rolls back has decided."""

Mirror = Callable[[Session, str, int | None, Envelope[Any] | None], None]

log = get_logger(__name__)


class RolloutRecorder:
    """Every method writes to the given session only; the caller has locked the model."""

    def __init__(self, outbox: Outbox, mirror: Mirror) -> None:
        self._outbox = outbox
        self._mirror = mirror

    def begin(
        self,
        session: Session,
        row: CandidateRow,
        challenge: Challenge,
        plan: tuple[Step, ...],
        policy: ModelPolicy,
        *,
        reason: str,
        cause: Envelope[Any] | None,
    ) -> RolloutRow:
        """Begin the rollout of a challenger; one that is running ends."""
        champion = queries.champion(session, row.model_name)
        if (earlier := rollouts.running(session, row.model_name)) is not None:
            self.end(session, earlier, Result.SUPERSEDED, f"v{row.model_version} takes its place", cause=cause)
        tried = TriedVersion(
            model_version=row.model_version,
            artifact_uri=row.artifact_uri or "",
            artifact_digest=row.artifact_digest or "",
            serving_artifact=serving_artifact(row),
            output=challenge.output_format,
        )
        return self._add(session, row, challenge, plan, policy, tried, champion, reason, cause)

    def step(
        self, session: Session, row: RolloutRow, decided: Decided, now: datetime, cause: Envelope[Any] | None
    ) -> None:
        """Go to the next step of the plan, which is no watch; the current one is closed."""
        row.step += 1
        row.reason, row.actor = decided.reason, ACTOR
        self._enter(session, row, now, cause)

    def watch(self, session: Session, row: RolloutRow, promoted: Envelope[Promoted], former: TriedVersion) -> None:
        """Go on as a watch: `row`'s challenger is champion now, and the former champion predicts beside it."""
        row.step += 1
        row.champion_version, row.champion_epoch = row.model_version, promoted.data.epoch
        row.tried = former.model_dump(mode="json")
        row.actor = ACTOR
        row.reason = _watched(promoted.data, former)
        self._enter(session, row, promoted.time, promoted)

    def end(
        self,
        session: Session,
        row: RolloutRow,
        result: Result,
        reason: str,
        *,
        actor: str = ACTOR,
        now: datetime | None = None,
        cause: Envelope[Any] | None = None,
    ) -> None:
        """End a rollout. After harm, or a person's no, its challenger is quarantined."""
        now = now or datetime.now(UTC)
        row.ended_at, row.result, row.actor, row.reason = now, result.value, actor, reason
        row.stage = Stage.ENDED.value
        if result in rollouts.OUT:
            quarantine(
                session, row.model_name, row.model_version, f"{result.value} at {now:%Y-%m-%d %H:%M} UTC: {reason}"
            )
        self._changed(session, row, cause)
        self._audit(session, f"rollout {result.value}", row, cause)
        after_commit(session, lambda: ROLLOUTS.labels(result.value).inc())

    def close_step(
        self, row: RolloutRow, action: str, decided: Decided, now: datetime, load_failure: str | None = None
    ) -> None:
        """Keep the evidence of a decision on the current step."""
        entry = rollouts.history_entry(row, action, decided, now, load_failure)
        row.history = [*row.history, entry]

    def request_approval(
        self, session: Session, row: RolloutRow, reason: str, cause: Envelope[Any] | None = None
    ) -> None:
        """Request the approval of people for what `row` rests on now."""
        step = rollouts.step_of(row)
        row.verdict_digest = rollouts.verdict_digest(row)
        event = ApprovalRequested(
            model_name=row.model_name,
            model_version=row.model_version,
            rollout_id=row.id,
            verdict_digest=row.verdict_digest,
            people=step.people,
            expires_at=row.step_began_at + step.duration,
            reason=reason,
        )
        self._outbox.emit(session, event, cause=cause, correlation_id=row.correlation_id)

    def emit(
        self,
        session: Session,
        event: ApprovalGiven | ApprovalRefused | RolloutChanged,
        row: RolloutRow | None = None,
        event_id: str | None = None,
    ) -> Envelope[Any]:
        """Emit an event that changes no step; `row`: the rollout whose story it belongs to."""
        correlation_id = row.correlation_id if row else None
        return self._outbox.emit(session, event, event_id=event_id, correlation_id=correlation_id)

    def after_promotion(
        self,
        session: Session,
        promoted: Envelope[Promoted],
        previous: PromotionRow | None,
        *,
        by: RolloutRow | None = None,
        policy: ModelPolicy | None = None,
    ) -> None:
        """Follow a promotion in its own transaction. `by`: the rollout that led to it; `policy`: says whether the new
        champion is watched. Every other rollout of the model ends."""
        event = promoted.data
        running = rollouts.running(session, event.model_name)
        release(session, event.model_name, event.model_version)
        if event.cause is Cause.ROLLBACK and event.previous_version is not None:
            why = f"rolled back by {event.actor} at {promoted.time:%Y-%m-%d %H:%M} UTC: {event.reason}"
            quarantine(session, event.model_name, event.previous_version, why)
        if running is not None and (by is None or running.id != by.id):
            reason = f"v{event.model_version} was promoted by {event.actor} ({event.cause.value})"
            self.end(session, running, Result.SUPERSEDED, reason, cause=promoted)
        former = former_champion(previous, event)
        if by is not None:
            following = rollouts.plan_of(by)[by.step + 1 :]
            if event.cause is Cause.ROLLBACK:
                self.end(session, by, Result.ROLLED_BACK, event.reason, actor=event.actor, cause=promoted)
            elif following and former is not None:
                self.watch(session, by, promoted, former)
            else:
                self.end(session, by, Result.PROMOTED, event.reason, actor=event.actor, cause=promoted)
        elif policy is not None and event.cause in WATCHED and (step := watch_of(policy)) is not None:
            self._watch_alone(session, promoted, former, policy, step)

    def _watch_alone(
        self,
        session: Session,
        promoted: Envelope[Promoted],
        former: TriedVersion | None,
        policy: ModelPolicy,
        step: Step,
    ) -> None:
        """Watch a version that became champion without a rollout."""
        event, champion = promoted.data, queries.champion(session, promoted.model_name)
        row = queries.candidate(session, event.model_name, event.model_version)
        if former is None or row is None:
            log.info("no watch: there is no former champion", model_name=event.model_name, epoch=event.epoch)
            return
        challenge = challenge_for(session, row, policy, event.reason, baseline=event.baseline, output=event.output)
        reason = _watched(event, former)
        self._add(session, row, challenge, (step,), policy, former, champion, reason, promoted)

    def _add(
        self,
        session: Session,
        row: CandidateRow,
        challenge: Challenge,
        plan: tuple[Step, ...],
        policy: ModelPolicy,
        tried: TriedVersion,
        champion: PromotionRow | None,
        reason: str,
        cause: Envelope[Any] | None,
    ) -> RolloutRow:
        now = datetime.now(UTC)
        baseline: Mapping[str, float] = {} if champion is None else champion.event.get("baseline", {})
        new = RolloutRow(
            id=f"{row.model_name}-v{row.model_version}-{uuid4().hex[:8]}",
            model_name=row.model_name,
            candidate_id=row.id,
            model_version=row.model_version,
            champion_version=champion.model_version if champion else None,
            champion_epoch=champion.epoch if champion else 0,
            challenge=asdict(challenge),
            policy_digest=challenge.policy_digest,
            plan=rollouts.plan_to_json(plan),
            step=0,
            stage=plan[0].stage.value,
            revision=0,
            salt=uuid4().hex,
            tried=tried.model_dump(mode="json"),
            loss=rollout_loss(challenge.metric, challenge.problem, baseline).model_dump(mode="json"),  # type: ignore[arg-type]
            label_maturity_seconds=policy.label_maturity.total_seconds(),
            began_at=now,
            step_began_at=now,
            figures=[],
            history=[],
            verdict_digest="",
            actor=ACTOR,
            reason=reason,
            correlation_id=cause.correlation_id if cause else None,
        )
        session.add(new)
        session.flush()
        self._enter(session, new, now, cause)
        return new

    def _enter(self, session: Session, row: RolloutRow, now: datetime, cause: Envelope[Any] | None) -> None:
        """Begin the step that `row.step` names."""
        step = rollouts.step_of(row)
        row.stage, row.step_began_at = step.stage.value, now
        row.measured, row.figures = None, []
        row.verdict_digest = rollouts.verdict_digest(row)
        self._changed(session, row, cause)
        if step.stage is Stage.APPROVAL:
            self.request_approval(session, row, row.reason, cause)
        share = f", {step.share:.3g} of the entities" if step.share else ""
        self._audit(session, f"rollout {step.stage.value}", row, cause, share)

    def _changed(self, session: Session, row: RolloutRow, cause: Envelope[Any] | None) -> None:
        if row.champion_version is not None:  # else there is nothing to carry out
            model = queries.lock(session, row.model_name)
            model.rollout_revision += 1
            row.revision = model.rollout_revision
            event = rollouts.changed_event(row)
            row.event_id = self._outbox.emit(session, event, cause=cause, correlation_id=row.correlation_id).id
        self._mirror(session, row.model_name, row.model_version, cause)

    def _audit(
        self, session: Session, action: str, row: RolloutRow, cause: Envelope[Any] | None, more: str = ""
    ) -> None:
        queries.add_audit(
            session,
            action,
            row.model_name,
            row.model_version,
            actor=row.actor,
            reason=f"{row.reason}{more}",
            evidence={
                "rollout_id": row.id,
                "step": row.step,
                "revision": row.revision,
                "champion_version": row.champion_version,
                "champion_epoch": row.champion_epoch,
                "verdict_digest": row.verdict_digest,
                "event_id": row.event_id,
            },
            correlation_id=row.correlation_id or (cause.correlation_id if cause else None),
        )


def _watched(promoted: Promoted, former: TriedVersion) -> str:
    return f"v{promoted.model_version} is champion (epoch {promoted.epoch}); v{former.model_version} watches it"
