"""The worker of jobs on a real database: a lease that is renewed while the job ends is not lost."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun, JobWorker
from chassis.jobs import Job, Jobs
from support.waiting import eventually


class Watched(Jobs):
    """Says when a renewal begins, and when one has ended."""

    begun = threading.Event()
    ended = threading.Event()

    def renew(self, job: Job) -> bool:
        self.begun.set()
        try:
            return super().renew(job)
        finally:
            self.ended.set()


def test_a_lease_that_is_renewed_while_its_job_ends_is_no_lost_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate("drift")
    jobs = Watched(database, owner="test", lease=timedelta(seconds=0.3))
    with database.transaction() as session:
        jobs.enqueue(session, kind="draw", key="w", payload={})

    def run(run: JobRun):  # type: ignore[no-untyped-def]
        def renewed(_session: Session) -> None:
            assert jobs.ended.wait(10)
            run.cancelled.wait(0.5)  # as a lost lease would have it

        def record(session: Session) -> None:
            jobs.begun.clear()
            jobs.ended.clear()
            assert jobs.begun.wait(10), "the renewal waits for this transaction"
            event.listen(session, "after_commit", renewed)

        return record

    def newest() -> Job:
        with database.reading() as session:
            [job] = jobs.newest(session)
        return job

    async def work() -> None:
        worker = JobWorker(jobs, {"draw": run})
        await worker.start()
        await asyncio.to_thread(eventually, lambda: newest().state == "done")
        await asyncio.to_thread(eventually, jobs.ended.is_set)
        await worker.stop()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(work())
    assert any(entry["event"] == "job done" for entry in logs)
    assert not [entry for entry in logs if entry["event"] == "lease lost"]
    database.close()
