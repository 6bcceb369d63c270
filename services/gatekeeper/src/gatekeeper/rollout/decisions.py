"""The next action of a running rollout, from everything that its gatekeeper knows, and its record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from chassis.telemetry import get_logger
from contracts import (
    Cause,
    Envelope,
    ModelLoaded,
    ModelLoadFailed,
    Result,
    RolloutMeasured,
    Stage,
    TriedVersion,
)
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, rollout_points, rollouts
from gatekeeper.database.audit_trail import ACTOR
from gatekeeper.database.candidate_verdict import once
from gatekeeper.database.challenges import challenge_of
from gatekeeper.database.promotions import promoted_again, promotion_of
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.policy.promotion import Promote
from gatekeeper.policy.rollout import (
    Abort,
    Advance,
    Continue,
    Decided,
    RollBack,
    Step,
)
from gatekeeper.rollout.next_action import RESULTS, RequestAgain, concerns, next_of, total

log = get_logger(__name__)


class RolloutDecisions:
    """Decides in the caller's transaction. No method reads MLflow or waits for anything but the database."""

    def __init__(self, recorder: Recorder, policies: Mapping[str, ModelPolicy]) -> None:
        self._recorder = recorder
        self._policies = policies

    def measured(self, session: Session, envelope: Envelope[RolloutMeasured], now: datetime) -> None:
        """Take up the sums of the current step, unless larger ones are known, and follow them."""
        event = envelope.data
        queries.lock(session, event.model_name)
        row = rollouts.running(session, event.model_name)
        if row is None or (row.id, row.step) != (event.rollout_id, event.step):
            log.debug("sums of another step", model_name=event.model_name, rollout_id=event.rollout_id, step=event.step)
            return
        versions = (event.champion.model_version, event.tried.model_version)
        if versions != (row.champion_version, row.tried["model_version"]):
            log.warning("sums of other versions", rollout_id=row.id, step=row.step, versions=versions)
            return
        known = rollouts.measured_of(row)
        if known is not None and total(event) <= total(known) and not self._shows_new_harm(session, row, event, now):
            log.debug("sums are not larger than the ones known", rollout_id=row.id, step=row.step)
            return
        row.measured = event.model_dump(mode="json")
        rollout_points.note(session, row, now)
        self.go_on(session, row, now, envelope)

    def _shows_new_harm(self, session: Session, row: RolloutRow, event: RolloutMeasured, now: datetime) -> bool:
        """Return whether smaller sums, counted since drift has lost its database, are enough to end the rollout."""
        known = rollouts.measured_of(row)
        if known is None or event.counted_from <= known.counted_from:
            return False
        kept, row.measured = row.measured, event.model_dump(mode="json")
        action = next_of(session, row, self._policies.get(row.model_name), now)
        row.measured = kept
        return isinstance(action, Abort | RollBack)

    def loaded(self, session: Session, envelope: Envelope[ModelLoaded], now: datetime) -> None:
        """Follow a staging replica that has loaded the challenger; the caller has noted it."""
        event = envelope.data
        row = rollouts.running(session, event.model_name)
        if row is None or event.role != "staging" or row.stage != Stage.STAGING:
            return
        self._locked(session, row, now, envelope)

    def load_failed(self, session: Session, envelope: Envelope[ModelLoadFailed], now: datetime) -> None:
        """Follow a replica that gave up loading a version, if a rollout depends on it."""
        event = envelope.data
        row = rollouts.running(session, event.model_name)
        if row is not None and concerns(event, row):
            sentence = f"{event.role} replica {event.replica}: {event.reason}"
            self._locked(session, row, now, envelope, sentence)

    def _locked(
        self, session: Session, row: RolloutRow, now: datetime, cause: Envelope[Any], load_failure: str | None = None
    ) -> None:
        """Decide with the model's lock, unless the rollout has changed meanwhile."""
        step = row.step
        queries.lock(session, row.model_name)
        session.refresh(row)
        if row.ended_at is None and row.step == step:
            self.go_on(session, row, now, cause, load_failure)

    def go_on(
        self,
        session: Session,
        row: RolloutRow,
        now: datetime,
        cause: Envelope[Any] | None = None,
        load_failure: str | None = None,
    ) -> None:
        """Decide on a rollout and record what follows. The caller has locked the model."""
        action = next_of(session, row, self._policies.get(row.model_name), now, load_failure)
        if action.figures or isinstance(action, Continue):
            row.figures = rollouts.figures_to_json(action.figures)
        if isinstance(action, Continue):
            self._warn(session, row, action, now, load_failure)
        elif isinstance(action, Advance):
            if not self._is_held(session, row, action):
                self.advance(session, row, action, now, cause)
        elif isinstance(action, RollBack):
            self._roll_back(session, row, action, now, cause, load_failure)
        elif isinstance(action, RequestAgain):
            self._request_again(session, row, action, now)
        else:
            result = RESULTS[type(action)]
            self._recorder.rollouts.close_step(row, result.value, action, now, load_failure)
            self._recorder.rollouts.end(session, row, result, action.reason, now=now, cause=cause)

    def goes_on(self, session: Session, row: RolloutRow, now: datetime) -> bool:
        """Return whether there is nothing to record now: it continues, or the next step has to wait."""
        action = next_of(session, row, self._policies.get(row.model_name), now)
        return isinstance(action, Continue) or self._is_held(session, row, action)

    def _is_held(self, session: Session, row: RolloutRow, action: Decided) -> bool:
        """Return whether a frozen model does not go forward; the clock looks again once it is unfrozen."""
        forward = isinstance(action, Advance) and row.stage != Stage.WATCH
        return forward and queries.state(session, row.model_name).frozen

    def advance(
        self,
        session: Session,
        row: RolloutRow,
        decided: Decided,
        now: datetime,
        cause: Envelope[Any] | None = None,
        approvers: tuple[str, ...] = (),
    ) -> None:
        """Begin the next step; after the last one promote the challenger; after a watch end."""
        following = rollouts.plan_of(row)[row.step + 1 :]
        if row.stage == Stage.WATCH:
            self._recorder.rollouts.close_step(row, Result.PROMOTED.value, decided, now)
            self._recorder.rollouts.end(session, row, Result.PROMOTED, decided.reason, now=now, cause=cause)
        elif following and following[0].stage is not Stage.WATCH:
            self._recorder.rollouts.close_step(row, "advance", decided, now)
            self._recorder.rollouts.step(session, row, decided, now, cause)
        else:
            self._recorder.rollouts.close_step(row, "promote", decided, now)
            self._promote(session, row, decided, cause, approvers)

    def _promote(
        self,
        session: Session,
        row: RolloutRow,
        decided: Decided,
        cause: Envelope[Any] | None,
        approvers: tuple[str, ...],
    ) -> None:
        challenge, candidate = challenge_of(row), queries.candidate_by_id(session, row.candidate_id)
        assert candidate is not None, "its rollout rests on it"
        decision = Promote(
            row.champion_epoch + 1, row.champion_version, Cause.APPROVAL if approvers else Cause.TRIAL, decided.reason
        )
        event = promotion_of(
            session,
            candidate,
            decision,
            actor=", ".join(approvers) or ACTOR,
            reason=decided.reason,
            metric=challenge.metric,
            evidence_id=challenge.evidence_id,
            baseline=challenge.baseline,
            output=challenge.output_format,
        )
        tried = TriedVersion.model_validate(row.tried)  # what was tried is promoted, whatever became of the candidate
        files = {name: getattr(tried, name) for name in ("artifact_uri", "artifact_digest", "serving_artifact")}
        gated_candidate = None if challenge.tournament else once(candidate)
        self._recorder.record_promotion(
            session, event.model_copy(update=files), cause=cause, gated_candidate=gated_candidate, by=row
        )

    def _roll_back(
        self,
        session: Session,
        row: RolloutRow,
        action: RollBack,
        now: datetime,
        cause: Envelope[Any] | None,
        load_failure: str | None,
    ) -> None:
        """Promote the former champion again, as a person's rollback does, and end the watch."""
        former = TriedVersion.model_validate(row.tried)
        self._recorder.rollouts.close_step(row, Result.ROLLED_BACK.value, action, now, load_failure)
        event = promoted_again(
            row.model_name,
            former.model_version,
            queries.promotion_of(session, row.model_name, former.model_version),
            Promote(row.champion_epoch + 1, row.champion_version, Cause.ROLLBACK, action.reason),
            actor=ACTOR,
            reason=action.reason,
            uri=former.artifact_uri,
            digest=former.artifact_digest,
        )
        self._recorder.record_promotion(session, event, cause=cause, by=row)

    def _warn(
        self, session: Session, row: RolloutRow, action: Continue, now: datetime, load_failure: str | None
    ) -> None:
        """Audit, once a step, harm that may not be followed by a rollback."""
        if action.warning is None or any(e["action"] == "warning" and e["step"] == row.step for e in row.history):
            return
        self._recorder.rollouts.close_step(row, "warning", action, now, load_failure)
        queries.add_audit(
            session,
            "rollout warning",
            row.model_name,
            row.model_version,
            actor=ACTOR,
            reason=action.warning,
            evidence={"rollout_id": row.id, "step": row.step},
            correlation_id=row.correlation_id,
        )

    def _request_again(self, session: Session, row: RolloutRow, action: RequestAgain, now: datetime) -> None:
        policy = self._policies[row.model_name]
        assert policy.approval is not None, "else it is superseded"
        self._recorder.rollouts.close_step(row, "requested again", action, now)
        row.policy_digest, row.step_began_at, row.reason = policy.digest, now, action.reason
        steps = rollouts.plan_of(row)
        step = Step(Stage.APPROVAL, duration=policy.approval.expires, people=policy.approval.people)
        row.plan = rollouts.plan_to_json((*steps[: row.step], step, *steps[row.step + 1 :]))
        self._recorder.rollouts.request_approval(session, row, action.reason)
        queries.add_audit(
            session,
            "approval requested again",
            row.model_name,
            row.model_version,
            actor=ACTOR,
            reason=action.reason,
            evidence={"rollout_id": row.id, "verdict_digest": row.verdict_digest},
            correlation_id=row.correlation_id,
        )
