"""The worker: claims jobs, runs each in a thread under its lease, and records the result in one transaction."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta

from prometheus_client import Counter, Histogram
from sqlalchemy.orm import Session

from chassis import tracing
from chassis.errors import GauntletError, Transient
from chassis.job_queue_gauge import QUEUED_JOBS
from chassis.jobs import MOST_TAKEOVERS, Job, Jobs, LeaseLost
from chassis.telemetry import get_logger, story
from chassis.waiting import set_within

ENDED = Counter("gauntlet_jobs_total", "Runs of jobs, by how they ended", ["kind", "how"])
SECONDS = Histogram("gauntlet_job_seconds", "Duration of a run", ["kind"], buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800))
HOW = ("done", "failed", "waits", "again", "lost")

POLL_SECONDS = 1.0
LONGEST_BACKOFF = 15.0
NOTE_SECONDS = 0.5

Record = Callable[[Session], None]

log = get_logger(__name__)


class RunAgain(GauntletError):
    """The input of the job changed while it ran: run it again at once."""


class JobRun:
    """One run of a job: `cancelled` is set when the lease is lost or the service stops; the runner should then end."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self.job = job
        self.cancelled = threading.Event()
        self.ending = False
        """The transaction that ends the job is under way, or done."""
        self._jobs = jobs
        self._noted = 0.0

    def progress(self, share: float, message: str) -> None:
        """Report progress, 0 to 1; written to the database at most twice a second."""
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            try:
                self._jobs.note(self.job, share, message)
            except Transient as error:
                log.info("progress not noted", error=str(error))


Runner = Callable[[JobRun], Record]
OnFailed = Callable[[Session, Job, str], None]


class JobWorker:
    """A Part. A runner does the long work outside a transaction and returns a function that records the result.

    That function runs in the transaction that ends the job, and only while this worker holds the lease. A runner
    raises Transient to run again after a delay, RunAgain to do so at once; any other error fails the job and calls
    `on_failed` in the same transaction. `one_queue`: the jobs of a key run one at a time, whatever their kind.
    """

    def __init__(
        self,
        jobs: Jobs,
        runners: Mapping[str, Runner],
        on_failed: Mapping[str, OnFailed] | None = None,
        *,
        one_queue: bool = False,
    ) -> None:
        self.name = f"worker ({', '.join(runners)})"
        self._jobs = jobs
        self._runners = dict(runners)
        self._on_failed = dict(on_failed or {})
        self._one_queue = one_queue
        for kind in self._runners:  # at 0 from the start: the first failure is an increase
            QUEUED_JOBS.labels(kind)
            for how in HOW:
                ENDED.labels(kind, how)
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._run: JobRun | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._jobs.database.after_commit(lambda: None if loop.is_closed() else _set_soon(loop, self._wake))
        self._task = asyncio.create_task(self._loop(), name=self.name)

    async def stop(self) -> None:
        """Cancel the running job; it returns to the queue for the next worker."""
        self._stopping = True
        self._wake.set()
        if self._run is not None:
            self._run.cancelled.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=10)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                job = await asyncio.to_thread(self._jobs.claim, list(self._runners), one_queue=self._one_queue)
                if job is not None:
                    await self._work(job)
                    continue
            except Transient as error:
                log.warning("jobs wait", error=str(error))
            await set_within(self._wake, POLL_SECONDS)

    async def _work(self, job: Job) -> None:
        self._run = run = JobRun(self._jobs, job)
        renewal = asyncio.create_task(self._keep_lease(run))
        started = time.monotonic()
        try:
            how = await asyncio.to_thread(self._execute, run)
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            self._run = None
        ENDED.labels(job.kind, how).inc()
        SECONDS.labels(job.kind).observe(time.monotonic() - started)

    async def _keep_lease(self, run: JobRun) -> None:
        good_until = time.monotonic() + self._jobs.lease.total_seconds()
        while True:
            await asyncio.sleep(self._jobs.lease.total_seconds() / 3)
            asked = time.monotonic()
            try:
                ours = await asyncio.to_thread(self._jobs.renew, run.job)
                good_until = asked + self._jobs.lease.total_seconds()
            except Transient:
                ours = time.monotonic() < good_until
            if not ours and not run.ending:  # a job that has just ended has no lease
                log.warning("lease lost", job=run.job.id)
                run.cancelled.set()
                return

    def _execute(self, run: JobRun) -> str:
        job = run.job
        with tracing.job(job.kind, job.id, job.key, job.attempts, job.cause):
            with story(job.cause) if job.cause is not None else nullcontext():
                how = self._outcome(run)
            tracing.job_ended(how)
            return how

    def _outcome(self, run: JobRun) -> str:
        job = run.job
        log.info("job started", job=job.id, kind=job.kind, key=job.key, attempt=job.attempts)
        try:
            if job.takeovers >= MOST_TAKEOVERS:
                return self._fail(run, f"the worker died {job.takeovers} times while running this job")
            self._settle(run, self._runners[job.kind](run))
        except LeaseLost as error:
            log.warning("result dropped", reason=str(error))
            return "lost"
        except RunAgain as error:
            self._put_back(run, timedelta(0), str(error))
            return "again"
        except Transient as error:
            self._put_back(run, timedelta(0) if self._stopping else _backoff(job.attempts), str(error))
            return "waits"
        except Exception as error:  # a runner's error fails the job, not the worker
            log.exception("job failed", job=job.id, kind=job.kind, key=job.key)
            return self._fail(run, f"{type(error).__name__}: {error}")
        log.info("job done", job=job.id, kind=job.kind, key=job.key)
        return "done"

    def _settle(self, run: JobRun, record: Record) -> None:
        """Commit the result. A short database outage must not cost an hour of training."""
        attempt = 0
        while True:
            attempt += 1
            run.ending = True
            try:
                with self._jobs.database.transaction() as session:
                    self._jobs.end(session, run.job)
                    record(session)
                return
            except Transient as error:
                run.ending = False
                if run.cancelled.is_set():
                    raise
                log.warning("result waits for the database", error=str(error))
                run.cancelled.wait(_backoff(attempt).total_seconds())

    def _fail(self, run: JobRun, error: str) -> str:
        def record(session: Session) -> None:
            if run.job.kind in self._on_failed:
                self._on_failed[run.job.kind](session, run.job, error)

        run.ending = True
        try:
            with self._jobs.database.transaction() as session:
                self._jobs.end(session, run.job, error=error)
                record(session)
        except (Transient, LeaseLost) as problem:
            log.warning("failure not recorded; the job runs again", job=run.job.id, error=str(problem))
            return "lost"
        return "failed"

    def _put_back(self, run: JobRun, delay: timedelta, message: str) -> None:
        run.ending = True
        log.warning("job goes back to the queue", job=run.job.id, seconds=delay.total_seconds(), reason=message)
        try:
            self._jobs.put_back(run.job, delay=delay, message=message)
        except Transient as error:
            log.warning("job keeps its lease until that runs out", job=run.job.id, error=str(error))


def _backoff(attempt: int) -> timedelta:
    return timedelta(seconds=min(0.5 * 2 ** min(attempt, 10), LONGEST_BACKOFF) * random.uniform(0.5, 1.0))


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)
