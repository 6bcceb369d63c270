"""The clock of benchmarks: looks at each model whose policy wants them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from chassis.background import Periodic
from chassis.database import Database
from drift.benchmarks.scheduler import Scheduler
from drift.database.store import lock_model
from drift.database.tables import BenchmarkRow, ModelRow
from drift.policies import DriftPolicies
from drift.policy.schedule import NotDue

PAUSE = timedelta(seconds=1)


class BenchmarkClock(Periodic):
    """A Part. Several replicas may run it concurrently; under the model's lock one of them begins a benchmark."""

    name = "benchmark clock"
    waits, failed = "benchmarks wait", "benchmarks not begun"

    def __init__(
        self,
        database: Database,
        scheduler: Scheduler,
        policies: DriftPolicies,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(PAUSE)
        self._database = database
        self._scheduler = scheduler
        self._policies = policies
        self._clock = clock
        self._until: dict[tuple[str, timedelta], datetime] = {}
        """End of the period of a model and an interval: nothing is due before."""

    def once(self) -> None:
        wanted = self._policies.benchmarks()
        if not wanted:
            return
        with self._database.reading() as session:
            known = set(session.scalars(select(ModelRow.model_name)))
        for name, settings in wanted.items():
            now, key = self._clock(), (name, settings.every)
            if name not in known or (key in self._until and now < self._until[key]):
                continue
            with self._database.reading() as session:
                found, row = self._scheduler.look(session, name, settings.every, now), session.get(BenchmarkRow, name)
                noted = row is not None and row.waits is not None
            if isinstance(found, NotDue):
                if found.until is not None and found.until > now:
                    self._until[key] = found.until
                if noted or not found.late:
                    continue
            with self._database.transaction() as session:
                lock_model(session, name)
                self._scheduler.begin_due(session, name, now)
