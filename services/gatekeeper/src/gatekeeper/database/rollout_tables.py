"""Tables of rollouts, of the approvals of people, and of challengers that wait for the end of a rollout."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base

RUNNING = text("ended_at IS NULL")
GIVEN, REFUSED = "approved", "refused"


class RolloutRow(Base):
    """A rollout, from the verdict to its end; a model has at most one that has not ended.

    `history` holds the steps that are over, with the evidence of each decision: see `rollout.history`.
    """

    __tablename__ = "rollouts"
    __table_args__ = (
        Index("ix_rollouts_running", "model_name", unique=True, sqlite_where=RUNNING, postgresql_where=RUNNING),
        Index("ix_rollouts_model_name_began_at", "model_name", "began_at"),
    )

    id: Mapped[str] = mapped_column(String(250), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200), index=True)
    candidate_id: Mapped[str] = mapped_column(String(220), index=True)
    model_version: Mapped[int] = mapped_column(Integer)
    """The challenger; in a watch, the version that became champion."""
    champion_version: Mapped[int | None] = mapped_column(Integer)
    """The champion; in a watch, again the version that became champion. None before a model's first promotion."""
    champion_epoch: Mapped[int] = mapped_column(Integer)
    challenge: Mapped[dict[str, Any]] = mapped_column(Json)
    """What it rests on and becomes: see `Challenge`."""
    policy_digest: Mapped[str] = mapped_column(String(80))
    plan: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """Its steps (policy.rollout.Step), the watch included; what the policy says later does not change them."""
    step: Mapped[int] = mapped_column(Integer)
    """Index into the plan."""
    stage: Mapped[str] = mapped_column(String(20))
    revision: Mapped[int] = mapped_column(Integer)
    """Of the last RolloutChanged."""
    salt: Mapped[str] = mapped_column(String(40))
    tried: Mapped[dict[str, Any]] = mapped_column(Json)
    """The version beside the champion: contracts.TriedVersion."""
    loss: Mapped[dict[str, Any] | None] = mapped_column(Json)
    label_maturity_seconds: Mapped[float] = mapped_column(Float)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    step_began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    measured: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The RolloutMeasured with the largest totals of this step."""
    figures: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """What was last computed from it."""
    history: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    verdict_digest: Mapped[str] = mapped_column(String(80))
    """Of everything that people approve: see `rollout.verdict_digest`."""
    result: Mapped[str | None] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    event_id: Mapped[str | None] = mapped_column(Text)
    """Of the last RolloutChanged; None before a model's first promotion: there is nothing to carry out."""
    correlation_id: Mapped[str | None] = mapped_column(Text)


class ApprovalRow(Base):
    """One person's decision on one verdict digest; `decision`: approved or refused."""

    __tablename__ = "approvals"
    __table_args__ = (UniqueConstraint("rollout_id", "verdict_digest", "actor"),)

    sequence: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id"))
    verdict_digest: Mapped[str] = mapped_column(String(80))
    actor: Mapped[str] = mapped_column(Text)
    decision: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class WaitingChallengerRow(Base):
    """The newest version that passed while a rollout of its model was running."""

    __tablename__ = "waiting_challengers"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    candidate_id: Mapped[str] = mapped_column(String(220))
    challenge: Mapped[dict[str, Any]] = mapped_column(Json)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
