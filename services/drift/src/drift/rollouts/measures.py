"""Emission of RolloutMeasured: the sums so far, at most once a second a model while something changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from chassis.outbox import Outbox
from contracts import RolloutMeasured
from drift.rollouts.open_step import OpenStep

EVERY = timedelta(seconds=1)


class Measures:
    """Emits in the transaction that changed the sums, or later, by `Measurer`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def emit(self, session: Session, step: OpenStep, now: datetime, *, last: bool = False) -> None:
        """Emit what has changed, unless that was done less than a second ago; `last`: even then."""
        row = step.row
        early = row.measured_at is not None and now < row.measured_at + EVERY
        if not row.unsent or row.recounting or (early and not last):
            return
        self._outbox.emit(session, measured(step, now))
        row.unsent, row.measured_at = False, now


def measured(step: OpenStep, now: datetime) -> RolloutMeasured:
    row, sums = step.row, step.sums
    return RolloutMeasured(
        model_name=row.model_name,
        rollout_id=row.rollout_id,
        step=row.step,
        champion=sums.champion,
        tried=sums.tried,
        paired=sums.paired,
        champion_history=row.history,
        champion_history_errors=row.history_errors,
        compared=sums.compared,
        agreed=sums.agreed,
        waiting=step.waiting(),
        counted_from=row.counted_from or step.changed.began_at,
        measured_at=now,
    )
