"""The metric on which an alert is set: whether each champion was better than the trivial baseline."""

from __future__ import annotations

from datetime import timedelta

from chassis.background import Periodic
from chassis.database import Database
from gatekeeper.database import benchmarks
from gatekeeper.telemetry import BEATS_BASELINE

PAUSE = timedelta(seconds=5)


class BenchmarkGauge(Periodic):
    """A Part. Read from the database, so that it outlives a restart and is the same on every replica."""

    name = "benchmark gauge"
    waits, failed = "the metric of benchmarks waits", "the metric of benchmarks is not known"

    def __init__(self, database: Database) -> None:
        super().__init__(PAUSE)
        self._database = database

    def once(self) -> None:
        with self._database.reading() as session:
            for model_name, beats in benchmarks.newest_verdicts(session).items():
                BEATS_BASELINE.labels(model_name).set(float(beats))
