"""People's decisions on a rollout: approve, refuse, abort. Each runs in one transaction and is audited."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from chassis.database import Database
from contracts import ApprovalGiven, ApprovalRefused, Result, Stage
from gatekeeper.database import queries, registrations, rollouts
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.rollout_tables import GIVEN, REFUSED, ApprovalRow, RolloutRow
from gatekeeper.policy.rollout import Advance, Decided
from gatekeeper.refusals import CommandRefused
from gatekeeper.rollout.decisions import RolloutDecisions


class Approvals:
    """All methods block, and raise CommandRefused, and Transient when the database is unavailable."""

    def __init__(self, database: Database, recorder: Recorder, decisions: RolloutDecisions) -> None:
        self._database = database
        self._recorder = recorder
        self._decisions = decisions

    def approve(self, model_name: str, *, actor: str, reason: str, verdict_digest: str | None = None) -> str:
        """Approve what the running rollout rests on; the last person who is needed promotes. Returns its id."""
        try:
            return self._approve(model_name, actor, reason, verdict_digest)
        except registrations.OwnApproval as refused:
            with self._database.transaction() as session:
                row = rollouts.running(session, model_name)
                if row is not None:
                    self._audit(session, "approval not allowed", row, actor, str(refused))
            raise

    def _approve(self, model_name: str, actor: str, reason: str, verdict_digest: str | None) -> str:
        with self._database.transaction() as session:
            row = self._requested(session, model_name, "approved", verdict_digest)
            if queries.state(session, model_name).frozen:
                raise CommandRefused(f"{model_name} is frozen: nothing goes forward; unfreeze it first")
            candidate = queries.candidate_by_id(session, row.candidate_id)
            if candidate is not None:
                registrations.require_other(session, candidate, actor, "approve")
            given = [
                each.actor for each in rollouts.approvals(session, row.id, row.verdict_digest) if each.decision == GIVEN
            ]
            step = rollouts.step_of(row)
            if registrations.known(actor, given):
                raise CommandRefused(
                    f"{actor} has approved {model_name} v{row.model_version} already; {step.people - len(given)} more"
                    f" of {step.people} people must approve"
                )
            given.append(actor)
            missing = max(0, step.people - len(given))
            self._add(session, row, actor, GIVEN, reason)
            event = ApprovalGiven(**_subject(row), actor=actor, reason=reason, missing=missing)
            envelope = self._recorder.rollouts.emit(session, event, row)
            self._audit(session, "approved", row, actor, f"{reason} ({len(given)} of {step.people} people)")
            if not missing:
                decided = Advance(f"approved by {', '.join(given)}: {reason}")
                self._decisions.advance(session, row, decided, datetime.now(UTC), envelope, approvers=tuple(given))
            return row.id

    def refuse(self, model_name: str, *, actor: str, reason: str, verdict_digest: str | None = None) -> str:
        """Refuse what the running rollout rests on: it ends, and the champion stays."""
        with self._database.transaction() as session:
            row = self._requested(session, model_name, "refused", verdict_digest)
            self._add(session, row, actor, REFUSED, reason)
            event = ApprovalRefused(**_subject(row), actor=actor, reason=reason)
            envelope = self._recorder.rollouts.emit(session, event, row)
            now = datetime.now(UTC)
            self._recorder.rollouts.close_step(row, Result.REFUSED.value, Decided(reason), now)
            self._recorder.rollouts.end(session, row, Result.REFUSED, reason, actor=actor, now=now, cause=envelope)
            return row.id

    def abort(self, model_name: str, *, actor: str, reason: str, rollout_id: str | None = None) -> str:
        """End the running rollout: the champion stays. `rollout_id`: that the person saw; None: whatever runs."""
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            row = rollouts.running(session, model_name)
            if row is None:
                raise CommandRefused(f"{model_name} has no rollout that is running{_last(session, model_name)}")
            if rollout_id is not None and row.id != rollout_id:
                raise CommandRefused(
                    f"{model_name}: another rollout is running since the page was shown, of v{row.model_version}; look"
                    " again"
                )
            if row.stage == Stage.WATCH:
                raise CommandRefused(
                    f"{model_name} v{row.model_version} is champion and is watched; gauntlet rollback {model_name}"
                    " makes the former champion champion again, and ends the watch"
                )
            now = datetime.now(UTC)
            self._recorder.rollouts.close_step(row, Result.ABORTED.value, Decided(reason), now)
            self._recorder.rollouts.end(session, row, Result.ABORTED, reason, actor=actor, now=now)
            return row.id

    def _requested(self, session: Session, model_name: str, what: str, verdict_digest: str | None) -> RolloutRow:
        """The rollout that waits for people. Raises CommandRefused when there is none, or its evidence is another."""
        queries.lock(session, model_name)
        row = rollouts.running(session, model_name)
        if row is None:
            raise CommandRefused(
                f"{model_name} has no rollout that is running, so nothing can be {what}{_last(session, model_name)}"
            )
        if row.stage != Stage.APPROVAL:
            raise CommandRefused(
                f"the rollout of {model_name} v{row.model_version} is at stage {row.stage}: no approval is requested"
            )
        self._decisions.go_on(session, row, datetime.now(UTC))  # the policy, or the time, may have changed it just now
        if row.ended_at is not None:
            raise CommandRefused(f"the rollout of {model_name} v{row.model_version} has ended: {row.reason}")
        if verdict_digest is not None and verdict_digest != row.verdict_digest:
            raise CommandRefused(
                f"the evidence of {model_name} v{row.model_version} is not the one that was to be {what}: its verdict"
                f" digest is {row.verdict_digest} now, not {verdict_digest}; look at it again"
            )
        return row

    def _add(self, session: Session, row: RolloutRow, actor: str, decision: str, reason: str) -> None:
        session.add(
            ApprovalRow(
                rollout_id=row.id,
                verdict_digest=row.verdict_digest,
                actor=actor,
                decision=decision,
                reason=reason,
                at=datetime.now(UTC),
            )
        )
        session.flush()

    def _audit(self, session: Session, action: str, row: RolloutRow, actor: str, reason: str) -> None:
        queries.add_audit(
            session,
            action,
            row.model_name,
            row.model_version,
            actor=actor,
            reason=reason,
            evidence={"rollout_id": row.id, "verdict_digest": row.verdict_digest},
            correlation_id=row.correlation_id,
        )


def _subject(row: RolloutRow) -> dict[str, object]:
    return {
        "model_name": row.model_name,
        "model_version": row.model_version,
        "rollout_id": row.id,
        "verdict_digest": row.verdict_digest,
    }


def _last(session: Session, model_name: str) -> str:
    found = rollouts.newest(session, model_name, None, 1)
    return f"; the last one ended as {found[0].result}: {found[0].reason}" if found else ""
