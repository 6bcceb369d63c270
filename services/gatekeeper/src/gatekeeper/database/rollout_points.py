"""What a rollout's tests showed over time: points of the charts, of which a step has a few hundred at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Index, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base
from gatekeeper.database import rollouts
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.policy.rollout import counted, decided_by, findings
from gatekeeper.policy.rollout_figures import Finding

GROWTH = 0.03
"""A point is kept when the step is older by this share than at the last one: 130 in ten minutes, 370 in ten days."""
LEAST = timedelta(seconds=1)
MOST = 1000

_FINDINGS = TypeAdapter(dict[str, Finding])


class RolloutPointRow(Base):
    """What the sums of a rollout's step showed at one time; `counted` and `total` as of `policy.rollout.counted`."""

    __tablename__ = "rollout_points"
    __table_args__ = (Index("ix_rollout_points_rollout_id_step_at", "rollout_id", "step", "at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    rollout_id: Mapped[str] = mapped_column(String(250))
    step: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    counted: Mapped[int] = mapped_column(BigId)
    total: Mapped[int] = mapped_column(BigId)
    findings: Mapped[dict[str, Any]] = mapped_column(Json)
    """By what is judged: policy.rollout_figures.Finding."""


def findings_of(point: RolloutPointRow) -> Mapping[str, Finding]:
    return _FINDINGS.validate_python(point.findings)


def note(session: Session, row: RolloutRow, now: datetime) -> None:
    """Keep what the sums of the current step show, unless the last point is too young."""
    measured, step = rollouts.measured_of(row), rollouts.step_of(row)
    if measured is None:
        return
    of_step = (RolloutPointRow.rollout_id == row.id, RolloutPointRow.step == row.step)
    last = session.scalar(select(RolloutPointRow.at).where(*of_step).order_by(RolloutPointRow.at.desc()).limit(1))
    if last is not None and now - last < max(LEAST, GROWTH * (now - row.step_began_at)):
        return
    found = findings(step, measured, rollouts.loss_of_step(row.loss, step))
    _, enough, total = counted(step, decided_by(step, found), measured)
    session.add(
        RolloutPointRow(
            rollout_id=row.id,
            step=row.step,
            at=now,
            counted=enough,
            total=total,
            findings=_FINDINGS.dump_python(found, mode="json"),
        )
    )


def of_step(session: Session, rollout_id: str, step: int) -> Sequence[RolloutPointRow]:
    """Return the points of a step, oldest first."""
    query = select(RolloutPointRow).where(RolloutPointRow.rollout_id == rollout_id, RolloutPointRow.step == step)
    newest = session.scalars(query.order_by(RolloutPointRow.at.desc()).limit(MOST)).all()
    return newest[::-1]
