"""The job `benchmark`: stores the newest labelled rows of the champion in MLflow, and announces them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.digests import digest_file
from chassis.job_worker import JobRun, Record, RunAgain
from chassis.jobs import Job
from chassis.outbox import Outbox
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import BenchmarkDue, Dataset, OutputFormat
from contracts.drift_settings import Benchmark
from drift.benchmarks import rows_file
from drift.benchmarks.rows_file import Columns
from drift.benchmarks.scheduler import locked_row
from drift.database import window_rows
from drift.database.records import clean
from drift.database.tables import ModelRow, VersionRow
from drift.database.window_rows import LabelledRow
from drift.policies import DriftPolicies
from drift.policy.maturity import Maturity
from drift.policy.schedule import pause, too_few
from drift.policy.windows import MINIMUM_ROWS

EXPERIMENT = "gauntlet-benchmarks"
"""In MLflow: a run a model, with a file of rows a benchmark."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Stored:
    """The rows of a benchmark in MLflow."""

    champion: int
    dataset: Dataset
    columns: Columns
    start: datetime
    end: datetime


class BenchmarkJob:
    """Raises Transient while MLflow is unavailable: the job waits, and its benchmark with it."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        policies: DriftPolicies,
        outbox: Outbox,
        maturity: Callable[[Session, ModelRow], Maturity],
    ) -> None:
        self._database = database
        self._registry = registry
        self._policies = policies
        self._outbox = outbox
        self._maturity = maturity

    def run(self, run: JobRun) -> Record:
        name = run.job.key
        settings = self._policies.benchmark(name) or Benchmark()
        with self._database.reading() as session:
            model = session.get(ModelRow, name)
            champion = model.champion_version if model else None
            if model is None or champion is None:
                return lambda session: self._waits(session, run.job, "no promotion is known")
            version = session.get_one(VersionRow, (name, champion))
            output = OutputFormat.model_validate(version.output) if version.output else None
            maturity = age_that_counts(self._maturity(session, model), run.job)
            until = datetime.now(UTC) - maturity if maturity else None
            rows = window_rows.newest_labelled(session, name, champion, settings.max_rows, until)
        if len(rows) < MINIMUM_ROWS:
            return lambda session: self._waits(session, run.job, too_few(len(rows), maturity))
        label = self._policies.label(name) or (output.label if output else None)
        columns = rows_file.columns_of(rows, label, self._policies.entity(name))
        stored = self._store(run.job, champion, rows, columns)
        return lambda session: self._announce(session, run.job, stored)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """End a benchmark whose rows cannot be stored; the schedule tries again."""
        self._waits(session, job, clean(error))

    def _store(self, job: Job, champion: int, rows: list[LabelledRow], columns: Columns) -> Stored:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            path = Path(folder) / "rows.parquet"
            rows_file.write(rows, columns, path)
            digest = digest_file(path)
            # By its content: a run that died and ran again must not replace what was announced.
            path = path.rename(path.with_name(f"{digest.removeprefix('sha256:')}.parquet"))
            run_id = self._registry.own_run(EXPERIMENT, job.key)
            uri = self._registry.upload(run_id, path, job.payload["benchmark_id"])
        times = [row.at for row in rows]
        return Stored(champion, Dataset(uri=uri, digest=digest, rows=len(rows)), columns, min(times), max(times))

    def _announce(self, session: Session, job: Job, stored: Stored) -> None:
        """Emit BenchmarkDue in the transaction that ends the job. Raises RunAgain when the champion has changed."""
        benchmark_id: str = job.payload["benchmark_id"]
        row = locked_row(session, job.key)
        if row.running != benchmark_id:
            return
        now = session.get_one(ModelRow, job.key, populate_existing=True).champion_version
        if now != stored.champion:
            raise RunAgain(f"the rows are those of v{stored.champion}, but v{now} is champion now")
        event = BenchmarkDue(
            model_name=job.key,
            model_version=stored.champion,
            benchmark_id=benchmark_id,
            rows=stored.dataset,
            label=stored.columns.label,
            entity=stored.columns.entity,
            event_time=stored.columns.event_time,
            start=stored.start,
            end=stored.end,
            reason=job.payload["reason"],
            requested_by=job.payload.get("requested_by"),
        )
        self._outbox.emit(session, event, event_id=f"benchmark-due:{benchmark_id}")
        row.running, row.waits, row.look_after = None, None, None
        row.newest, row.announced_at = benchmark_id, datetime.now(UTC)
        log.info("benchmark due", model_name=job.key, benchmark=benchmark_id, rows=stored.dataset.rows)

    def _waits(self, session: Session, job: Job, reason: str) -> None:
        """Give the period back: its benchmark has not taken place."""
        row = locked_row(session, job.key)
        if row.running != job.payload["benchmark_id"]:
            return
        row.running, row.waits = None, reason
        log.warning("benchmark waits", model_name=job.key, benchmark=job.payload["benchmark_id"], reason=reason)
        if "requested_by" in job.payload:
            return
        settings = self._policies.benchmark(job.key)
        row.period = _time(job.payload["before"])
        row.look_after = datetime.now(UTC) + (pause(settings.every) if settings else timedelta(0))


def age_that_counts(maturity: Maturity, job: Job) -> timedelta:
    """Return the age from which a labelled row counts: labels that come quickly are not those of all rows.

    How long labels take is not known at first: then the schedule waits, and a person who does not is given the labels
    that have come.
    """
    return timedelta(0) if maturity.source == "setting" and "requested_by" in job.payload else maturity.after


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
