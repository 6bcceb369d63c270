"""The next action of a running rollout, from everything that its gatekeeper knows. Nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from contracts import Mode, ModelLoadFailed, Result, RolloutMeasured, Stage
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, rollouts
from gatekeeper.database.rollout_tables import GIVEN, RolloutRow
from gatekeeper.policy.rollout import Abort, Action, Advance, Continue, Decided, Keep, Step, is_over, next_action

CLOCKS = timedelta(seconds=5)
"""By which the clocks of replicas may differ from the gatekeeper's."""


@dataclass(frozen=True)
class Supersede(Decided):
    """Another champion or policy is in force: what was shown no longer counts."""


@dataclass(frozen=True)
class Expire(Decided):
    """People did not approve in time."""


@dataclass(frozen=True)
class RequestAgain(Decided):
    """The policy has changed: given approvals no longer count."""


Next = Action | Supersede | Expire | RequestAgain


def next_of(
    session: Session,
    row: RolloutRow,
    policy: ModelPolicy | None,
    now: datetime,
    load_failure: str | None = None,
) -> Next:
    """Return what follows for a running rollout; Continue for one that goes on as it is."""
    if (superseded := superseded_by_champion(session, row)) is not None:
        return superseded
    step = rollouts.step_of(row)
    if step.stage is Stage.STAGING:
        return _staging(session, row, step, now, load_failure)
    if step.stage is Stage.APPROVAL:
        return _approval(session, row, step, policy, now)
    return next_action(
        step,
        row.step_began_at,
        rollouts.measured_of(row),
        now,
        loss=rollouts.loss_of_step(row.loss, step),
        load_failure=load_failure,
    )


def superseded_by_champion(session: Session, row: RolloutRow) -> Supersede | None:
    """Return Supersede when another champion is in force than the one beside which the rollout is tried."""
    champion = queries.champion(session, row.model_name)
    if (champion.epoch if champion else 0) == row.champion_epoch:
        return None
    return Supersede(f"the champion has another epoch than {row.champion_epoch}, beside which it was tried")


def concerns(event: ModelLoadFailed, row: RolloutRow) -> bool:
    """Return whether `row` depends on it: its challenger, or in a watch the new champion, cannot be loaded."""
    if event.model_version != row.model_version:
        return False
    if row.stage == Stage.STAGING:
        return event.role == "staging"
    if row.stage == Stage.WATCH:
        return event.role == "production" and event.epoch == row.champion_epoch
    return event.rollout_id == row.id and rollouts.step_of(row).mode is not Mode.OFF


def total(measured: RolloutMeasured) -> int:
    """Everything that was counted: it only grows, unless the database that counts was lost."""
    arms = (measured.champion, measured.tried)
    return measured.paired.n + measured.compared + sum(arm.predictions + arm.labelled for arm in arms)


def _staging(session: Session, row: RolloutRow, step: Step, now: datetime, load_failure: str | None) -> Action:
    if load_failure is not None:
        return Abort(f"a replica failed to load it: {load_failure}")
    judged_at = getattr(queries.candidate_by_id(session, row.candidate_id), "judged_at", None)
    for replica in queries.replicas(session, row.model_name):
        loaded = replica.role == "staging" and replica.model_version == row.model_version
        if loaded and replica.loaded_at and judged_at and replica.loaded_at >= judged_at - CLOCKS:
            return Advance(f"staging replica {replica.replica} loaded it, and its predictions of golden rows agree")
    if is_over(step, row.step_began_at, now):
        return Keep(f"no staging replica loaded it in {step.duration.total_seconds() / 60:g} minutes")
    return Continue("no staging replica has loaded it yet")


def _approval(session: Session, row: RolloutRow, step: Step, policy: ModelPolicy | None, now: datetime) -> Next:
    if policy is not None and policy.digest != row.policy_digest:
        if policy.approval is None:
            return Supersede("the policy has changed, and requests no approval now: register the version again")
        return RequestAgain("the policy has changed: approvals under the former one do not count")
    if is_over(step, row.step_began_at, now):
        given = sum(each.decision == GIVEN for each in rollouts.approvals(session, row.id, row.verdict_digest))
        until = row.step_began_at + step.duration
        return Expire(f"{given} of {step.people} people had approved by {until:%Y-%m-%d %H:%M} UTC")
    return Continue("it waits for people")


RESULTS: dict[type[Decided], Result] = {
    Keep: Result.KEPT,
    Abort: Result.ABORTED,
    Supersede: Result.SUPERSEDED,
    Expire: Result.EXPIRED,
}
