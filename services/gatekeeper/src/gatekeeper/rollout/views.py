"""Response models of rollouts and of the fleet, and how they are read from the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session

from contracts import Mode, Stage
from gatekeeper.database import queries, rollouts
from gatekeeper.database.rollout_tables import GIVEN, RolloutRow
from gatekeeper.database.tables import PromotionRow, ReplicaRow
from gatekeeper.policy.rollout import Advance, Continue, Step
from gatekeeper.read_models import View
from gatekeeper.rollout.next_action import next_of


class FigureView(View):
    """One figure that a decision rests on."""

    name: str
    observed: float | None
    bound: float | None = Field(description="What it is compared with; null: with nothing")
    n: int
    reason: str


class StepView(View):
    """One step of a rollout."""

    stage: str
    share: float
    state: str = Field(description="done, current or to come")
    began_at: datetime | None
    ended_at: datetime | None
    reason: str | None = Field(description="Why it ended")
    figures: list[FigureView]


class ApprovalView(View):
    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    actor: str
    decision: str = Field(description="approved or refused")
    reason: str
    at: datetime
    counts: bool = Field(default=True, description="False: it was for evidence that has changed since")


class RolloutView(View):
    """A rollout: where it stands, what was measured, and who approved."""

    rollout_id: str
    model_name: str
    challenger_version: int
    champion_version: int | None = Field(description="In a watch, the challenger itself; null: there is none yet")
    champion_epoch: int
    stage: str = Field(description="staging, shadow, canary, ab, approval, watch or ended")
    step: int
    steps: list[StepView]
    mode: str = Field(description="off, shadow or split")
    share: float
    tried_version: int = Field(description="The version beside the champion; in a watch, the former champion")
    revision: int
    began_at: datetime
    ended_at: datetime | None
    result: str | None = Field(
        description="promoted, rolled back, aborted, kept (the champion stays), refused, expired or superseded"
    )
    reason: str
    actor: str
    policy_digest: str
    verdict_digest: str = Field(description="Of everything that is approved")
    evidence_id: str = Field(description="The candidate, or the tournament, whose evidence it rests on")
    measured: dict[str, Any] | None = Field(description="The last RolloutMeasured of this step")
    figures: list[FigureView] = Field(description="Of this step")
    approvals: list[ApprovalView]
    waits_for: str | None = Field(description="What the current step waits for; null once it has ended")
    people_needed: int = Field(description="Number of people who must still approve; 0 unless it waits for them")
    expires_at: datetime | None = Field(description="When staging, an approval or a watch ends by itself")


class RolloutsView(View):
    rollouts: list[RolloutView]


class FleetRollout(View):
    rollout_id: str
    stage: str
    mode: str
    share: float
    tried_version: int


class FleetReplica(View):
    """What a serving replica has loaded of a model, and what it should have."""

    replica: str
    role: str
    desired_version: int | None
    desired_epoch: int | None = Field(description="null for a staging replica: it follows the newest that passed")
    loaded_version: int | None
    loaded_epoch: int | None
    since: datetime | None
    lagging: bool
    lag_seconds: float | None = Field(description="Time since the version that it lacks was decided; null: it has it")
    tried_version: int | None = Field(description="Loaded beside it, for the rollout that is running")
    tried_since: datetime | None
    arm: str | None = Field(description="What is done with it: shadow or split")
    failed_version: int | None
    failure: str | None
    failed_at: datetime | None
    last_report: datetime | None


class FleetView(View):
    model_name: str
    champion_version: int | None
    champion_epoch: int | None
    rollout: FleetRollout | None
    replicas: list[FleetReplica]


def rollout_view(session: Session, row: RolloutRow) -> RolloutView:
    plan, ended = rollouts.plan_of(row), row.ended_at is not None
    step = plan[row.step]
    approvals = rollouts.approvals(session, row.id)
    given = sum(each.decision == GIVEN and each.verdict_digest == row.verdict_digest for each in approvals)
    waits = not ended and row.stage == Stage.APPROVAL
    approved = row.verdict_digest if waits or not approvals else approvals[-1].verdict_digest
    return RolloutView(
        rollout_id=row.id,
        model_name=row.model_name,
        challenger_version=row.model_version,
        champion_version=row.champion_version,
        champion_epoch=row.champion_epoch,
        stage=row.stage,
        step=row.step,
        steps=[_step_view(row, number, each) for number, each in enumerate(plan)],
        mode="off" if ended else step.mode.value,
        share=0.0 if ended else step.share,
        tried_version=row.tried["model_version"],
        revision=row.revision,
        began_at=row.began_at,
        ended_at=row.ended_at,
        result=row.result,
        reason=row.reason,
        actor=row.actor,
        policy_digest=row.policy_digest,
        verdict_digest=row.verdict_digest,
        evidence_id=row.challenge["evidence_id"],
        measured=row.measured,
        figures=[FigureView.model_validate(each) for each in row.figures],
        approvals=[
            ApprovalView(
                actor=each.actor,
                decision=each.decision,
                reason=each.reason,
                at=each.at,
                counts=each.verdict_digest == approved,
            )
            for each in approvals
        ],
        waits_for=None if ended else _waits_for(session, row),
        people_needed=max(0, step.people - given) if waits else 0,
        expires_at=rollouts.expires_at(row),
    )


def _waits_for(session: Session, row: RolloutRow) -> str:
    action = next_of(session, row, None, datetime.now(UTC))
    if isinstance(action, Continue):
        return action.reason
    if isinstance(action, Advance) and queries.state(session, row.model_name).frozen:
        return f"the model is frozen; else it would go on: {action.reason}"
    return f"the next look of the gatekeeper: {action.reason}"


def fleet_view(session: Session, model_name: str) -> FleetView:
    champion, row = queries.champion(session, model_name), rollouts.running(session, model_name)
    challenger = queries.challenger(session, model_name)
    running = None if row is None or rollouts.step_of(row).mode is Mode.OFF else row
    return FleetView(
        model_name=model_name,
        champion_version=champion.model_version if champion else None,
        champion_epoch=champion.epoch if champion else None,
        rollout=None if row is None else _fleet_rollout(row),
        replicas=[
            fleet_replica(each, champion, challenger.model_version if challenger else None, running)
            for each in queries.replicas(session, model_name)
        ],
    )


def _step_view(row: RolloutRow, number: int, step: Step) -> StepView:
    entries = [each for each in row.history if each["step"] == number]
    last = entries[-1] if entries else None
    ended = row.ended_at is not None
    current = number == row.step and not ended
    done = number < row.step or (ended and number == row.step)
    figures = row.figures if current else last["figures"] if last else []
    return StepView(
        stage=step.stage.value,
        share=step.share,
        state="current" if current else "done" if done else "to come",
        began_at=row.step_began_at if number == row.step else last["began_at"] if last else None,
        ended_at=None if current or last is None else last["decided_at"],
        reason=None if current or last is None else last["reason"],
        figures=[FigureView.model_validate(each) for each in figures],
    )


def _fleet_rollout(row: RolloutRow) -> FleetRollout:
    step = rollouts.step_of(row)
    return FleetRollout(
        rollout_id=row.id,
        stage=row.stage,
        mode=step.mode.value,
        share=step.share,
        tried_version=row.tried["model_version"],
    )


def fleet_replica(
    row: ReplicaRow, champion: PromotionRow | None, challenger: int | None, running: RolloutRow | None
) -> FleetReplica:
    """Return what a replica has of a model and should have; `running`: its rollout, while a version is tried."""
    production = row.role == "production"
    epoch = champion.epoch if champion and production else None
    desired = (champion.model_version if champion else None) if production else challenger
    if production:
        lagging = (row.epoch or 0) < (epoch or 0)
    else:
        lagging = challenger is not None and row.model_version != challenger
    tries = production and running is not None and row.tried_rollout == running.id
    since = champion.promoted_at if champion and production and lagging else None
    reports = [at for at in (row.loaded_at, row.failed_at, row.tried_since) if at is not None]
    return FleetReplica(
        replica=row.replica,
        role=row.role,
        desired_version=desired,
        desired_epoch=epoch,
        loaded_version=row.model_version,
        loaded_epoch=row.epoch,
        since=row.loaded_at,
        lagging=lagging,
        lag_seconds=None if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds()),
        tried_version=row.tried_version if tries else None,
        tried_since=row.tried_since if tries else None,
        arm=rollouts.step_of(running).mode.value if tries and running is not None else None,
        failed_version=row.failed_version,
        failure=row.failure,
        failed_at=row.failed_at,
        last_report=max(reports, default=None),
    )
