"""Metrics of the job queue: how many jobs have not begun, and since when the oldest of them waits."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import Gauge
from sqlalchemy import func, select

from chassis.background import Periodic
from chassis.database import Database
from chassis.jobs import QUEUED, JobRow

QUEUED_JOBS = Gauge("gauntlet_jobs_queued", "Jobs that wait to be run", ["kind"])
OLDEST = Gauge(
    "gauntlet_jobs_oldest_timestamp_seconds",
    "When the oldest job that waits to be run was added, in seconds since 1970; 0: there is none",
    ["kind"],
)
PAUSE = timedelta(seconds=5)


class JobQueueGauge(Periodic):
    """A Part. Of the whole database, so that each replica exports the same."""

    name = "job queue gauge"
    waits, failed = "the metrics of the job queue wait", "the metrics of the job queue are not known"

    def __init__(self, database: Database) -> None:
        super().__init__(PAUSE)
        self._database = database
        self._known: set[str] = set()

    def once(self) -> None:
        query = select(JobRow.kind, func.count(), func.min(JobRow.created_at)).where(JobRow.state == QUEUED)
        with self._database.reading() as session:
            found = {kind: (number, oldest) for kind, number, oldest in session.execute(query.group_by(JobRow.kind))}
        for kind in self._known - set(found):
            QUEUED_JOBS.labels(kind).set(0)
            OLDEST.labels(kind).set(0)
        for kind, (number, oldest) in found.items():
            QUEUED_JOBS.labels(kind).set(number)
            OLDEST.labels(kind).set(oldest.timestamp())
        self._known |= set(found)
