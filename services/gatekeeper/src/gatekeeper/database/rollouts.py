"""Queries on rollouts, and what their rows hold as values. Every function uses the caller's session."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts import Loss, Mode, Result, RolloutChanged, RolloutMeasured, Stage, TriedVersion
from gatekeeper.database.rollout_tables import ApprovalRow, RolloutRow, WaitingChallengerRow
from gatekeeper.policy.rollout import Decided, Figure, Step

_PLAN = TypeAdapter(tuple[Step, ...])
_FIGURES = TypeAdapter(tuple[Figure, ...])

EVIDENCE_FORMAT = 1
"""Of the entries of `RolloutRow.history`."""
OUT = (Result.ABORTED, Result.REFUSED, Result.ROLLED_BACK)
"""Results after which only a person can have the version promoted."""


def plan_to_json(plan: Sequence[Step]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _PLAN.dump_python(tuple(plan), mode="json", warnings=False)
    return found


def plan_of(row: RolloutRow) -> tuple[Step, ...]:
    return _PLAN.validate_python(row.plan)


def step_of(row: RolloutRow) -> Step:
    return plan_of(row)[row.step]


def figures_to_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _FIGURES.dump_python(tuple(figures), mode="json")
    return found


def measured_of(row: RolloutRow) -> RolloutMeasured | None:
    return None if row.measured is None else RolloutMeasured.model_validate(row.measured)


def history_entry(
    row: RolloutRow, action: str, decided: Decided, now: datetime, load_failure: str | None
) -> dict[str, Any]:
    """Return the evidence of a decision on the current step: everything that it can be decided on again."""
    return {
        "format": EVIDENCE_FORMAT,
        "step": row.step,
        "stage": row.stage,
        "champion": [row.champion_version, row.champion_epoch],
        "tried": row.tried["model_version"],
        "began_at": row.step_began_at.isoformat(),
        "decided_at": now.isoformat(),
        "action": action,
        "decided": type(decided).__name__,
        "reason": decided.reason,
        "figures": figures_to_json(decided.figures),
        "measured": row.measured,
        "loss": row.loss,
        "load_failure": load_failure,
    }


def loss_of_step(loss: Mapping[str, Any] | None, step: Step) -> Loss | None:
    """The loss with the step's margin; None for a step that needs no labels."""
    if loss is None or "metric" not in step.on:
        return None
    return Loss.model_validate({**loss, "margin": step.limits.margin})


def running(session: Session, model_name: str) -> RolloutRow | None:
    """The rollout of this model that has not ended."""
    query = select(RolloutRow).where(RolloutRow.model_name == model_name, RolloutRow.ended_at.is_(None))
    return session.scalars(query).first()


def all_running(session: Session) -> Mapping[str, RolloutRow]:
    """The rollouts that have not ended, by model: one of each at most."""
    return {row.model_name: row for row in session.scalars(select(RolloutRow).where(RolloutRow.ended_at.is_(None)))}


def running_ids(session: Session) -> list[tuple[str, str]]:
    """Model and id of every rollout that has not ended."""
    query = select(RolloutRow.model_name, RolloutRow.id).where(RolloutRow.ended_at.is_(None))
    return list(session.execute(query.order_by(RolloutRow.model_name)).tuples())


def last_changed(session: Session, model_name: str) -> RolloutRow | None:
    """The rollout of this model with the highest revision."""
    query = select(RolloutRow).where(RolloutRow.model_name == model_name).order_by(RolloutRow.revision.desc())
    return session.scalars(query.limit(1)).first()


def by_id(session: Session, rollout_id: str) -> RolloutRow | None:
    return None if "\0" in rollout_id else session.get(RolloutRow, rollout_id)


def newest(
    session: Session,
    model_name: str | None,
    active: bool | None,
    limit: int,
    visible: Collection[str] | None = None,
) -> Sequence[RolloutRow]:
    """Newest first; `active`: only those that have not ended, or only those that have; `visible`: of these models."""
    query = select(RolloutRow).order_by(RolloutRow.began_at.desc(), RolloutRow.id).limit(limit)
    if model_name is not None:
        query = query.where(RolloutRow.model_name == model_name)
    if visible is not None:
        query = query.where(RolloutRow.model_name.in_(visible))
    if active is not None:
        query = query.where(RolloutRow.ended_at.is_(None) if active else RolloutRow.ended_at.is_not(None))
    return session.scalars(query).all()


def of_candidate(session: Session, candidate_id: str) -> Sequence[RolloutRow]:
    """The rollouts of this candidate, newest first."""
    query = select(RolloutRow).where(RolloutRow.candidate_id == candidate_id).order_by(RolloutRow.began_at.desc())
    return session.scalars(query).all()


def approvals(session: Session, rollout_id: str, verdict_digest: str | None = None) -> Sequence[ApprovalRow]:
    """Oldest first; of one verdict digest, or of all that the rollout had."""
    query = select(ApprovalRow).where(ApprovalRow.rollout_id == rollout_id).order_by(ApprovalRow.sequence)
    return session.scalars(query.where(ApprovalRow.verdict_digest == verdict_digest) if verdict_digest else query).all()


def waiting(session: Session, model_name: str) -> WaitingChallengerRow | None:
    return session.get(WaitingChallengerRow, model_name)


def all_waiting(session: Session) -> list[str]:
    """The models that have a waiting challenger and no rollout that is running."""
    busy = select(RolloutRow.model_name).where(RolloutRow.ended_at.is_(None))
    query = select(WaitingChallengerRow.model_name).where(WaitingChallengerRow.model_name.not_in(busy))
    return list(session.scalars(query.order_by(WaitingChallengerRow.model_name)))


def waiting_for_people(session: Session) -> Sequence[RolloutRow]:
    """Return the rollouts that wait for an approval."""
    query = select(RolloutRow).where(RolloutRow.ended_at.is_(None), RolloutRow.stage == Stage.APPROVAL.value)
    return session.scalars(query.order_by(RolloutRow.model_name)).all()


def expires_at(row: RolloutRow) -> datetime | None:
    """When staging, an approval or a watch ends by itself; None for other stages."""
    if row.ended_at is not None or row.stage not in (Stage.STAGING, Stage.APPROVAL, Stage.WATCH):
        return None
    return row.step_began_at + step_of(row).duration


@dataclass(frozen=True)
class RunningStage:
    """Where a rollout stands that runs; `expires_at`: when its step ends by itself, if it does."""

    model_name: str
    stage: Stage
    expires_at: datetime


def running_stages(session: Session) -> list[RunningStage]:
    """Of every model's rollout that runs."""
    query = select(RolloutRow.model_name, RolloutRow.stage, RolloutRow.step_began_at, RolloutRow.step, RolloutRow.plan)
    rows = session.execute(query.where(RolloutRow.ended_at.is_(None)))
    return [
        RunningStage(name, Stage(stage), began + _PLAN.validate_python(plan)[step].duration)
        for name, stage, began, step, plan in rows
    ]


def changed_event(row: RolloutRow) -> RolloutChanged:
    """What serving and drift do for this rollout now. The model must have a champion."""
    assert row.champion_version is not None, "there is nothing to carry out without a champion"
    step, ended = step_of(row), row.ended_at is not None
    return RolloutChanged(
        model_name=row.model_name,
        rollout_id=row.id,
        revision=row.revision,
        stage=Stage.ENDED if ended else Stage(row.stage),
        step=row.step,
        mode=Mode.OFF if ended else step.mode,
        share=0.0 if ended else step.share,
        salt=row.salt,
        champion_version=row.champion_version,
        champion_epoch=row.champion_epoch,
        tried=TriedVersion.model_validate(row.tried),
        loss=loss_of_step(row.loss, step),
        label_maturity_seconds=row.label_maturity_seconds,
        began_at=row.step_began_at,
        result=None if row.result is None else Result(row.result),
        actor=row.actor,
        reason=row.reason,
    )


def verdict_digest(row: RolloutRow) -> str:
    """Digest of everything that people approve: the verdict's evidence, policy, champion, and the steps so far."""
    approved = {
        "rollout": row.id,
        "candidate": row.candidate_id,
        "evidence": row.challenge["evidence_digest"],
        "policy": row.policy_digest,
        "champion": [row.champion_version, row.champion_epoch],
        "artifact": row.tried.get("artifact_digest"),
        "plan": row.plan,
        "history": row.history,
    }
    return digest_of(approved)


def digest_of(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
