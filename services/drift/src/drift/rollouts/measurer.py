"""What becomes due without a message: labels that mature, and changes in the second after an emission."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from chassis.background import Periodic
from chassis.database import Database
from drift.database.store import lock_model
from drift.rollouts.measures import EVERY
from drift.rollouts.rollouts import Rollouts
from drift.rollouts.tables import OPEN, StepRow

PAUSE = timedelta(seconds=0.5)


class Measurer(Periodic):
    """A Part. Several replicas may run it concurrently; each does what is left to do."""

    name = "measurer"
    waits, failed = "rollouts wait to be measured", "rollouts not measured"

    def __init__(
        self, database: Database, rollouts: Rollouts, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(PAUSE)
        self._database = database
        self._rollouts = rollouts
        self._clock = clock

    def once(self) -> None:
        now = self._clock()
        with self._database.reading() as session:
            found = list(session.scalars(select(StepRow).where(StepRow.state == OPEN)))
            due = [
                (row.model_name, row.key)
                for row in found
                if (row.unsent and not row.recounting and (row.measured_at is None or now >= row.measured_at + EVERY))
                or self._rollouts.open_step(session, row).is_due(now)
            ]
        for model_name, key in due:
            with self._database.transaction() as session:
                lock_model(session, model_name)
                row = session.get(StepRow, key)
                if row is not None and row.state == OPEN:
                    self._rollouts.settle(session, self._rollouts.open_step(session, row))
