"""The job `train`: runs a training process under the job's lease and emits its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Permanent, Transient
from chassis.job_worker import JobRun, Record
from chassis.jobs import Job
from chassis.outbox import Outbox
from chassis.policy_store import PolicyStore
from chassis.registry import check_mlflow
from chassis.telemetry import get_logger
from contracts import ModelRegistered, TrainingFailed
from trainer.database.store import keep
from trainer.jobs.process import Ended, TrainingProcess
from trainer.policy import Failed, Retry, ending
from trainer.settings import Settings
from trainer.spec import Progress, TrainingSpec, TrainingTask

TRAININGS = Counter("trainer_trainings_total", "Training processes, by how they ended", ["model", "outcome"])
SECONDS = Histogram(
    "trainer_training_seconds",
    "Duration of training processes that registered a version",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 60, 300, 1800, 7200),
)

log = get_logger(__name__)


class TrainingError(Permanent):
    """The training ended without a version."""


class TrainingJob:
    """Runs one job at a time; jobs of many models may wait."""

    def __init__(self, settings: Settings, database: Database, outbox: Outbox, policies: PolicyStore) -> None:
        self._settings = settings
        self._database = database
        self._outbox = outbox
        self._policies = policies

    def run(self, run: JobRun) -> Record:
        """Train and register. Raises Transient while MLflow is unavailable, TrainingError when no version results."""
        job = run.job
        task = task_of(job.payload)
        policy = self._policies.get(task.model_name)
        if task.from_run is None and (policy is None or policy.recipe is None):
            known = sorted(name for name, each in self._policies.items() if each.recipe)
            why = f"the policy of model {task.model_name!r} names no recipe"
            if policy is None:
                why = self._policies.why_missing(task.model_name)
            raise TrainingError(f"{why}; models with a recipe: {', '.join(known) or 'none'}")
        check_mlflow(self._settings.mlflow_tracking_uri)
        spec = TrainingSpec(
            job_id=job.id,
            task=task,
            policy=policy,
            tracking_uri=self._settings.mlflow_tracking_uri,
            allowed_uris=self._settings.allowed_uri_prefixes,
            work_dir=self._work_dir(job.id),
            reference_rows=self._settings.reference_rows,
        )
        forget_old(spec.work_dir.parent)
        spec.work_dir.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        process = TrainingProcess(spec, self._settings.recipe_path)
        ended = process.run(
            seconds=self._settings.timeout_seconds,
            cancelled=run.cancelled,
            on_progress=lambda progress: self._noted(run, process, progress),
        )
        tail = process.log_tail()
        try:
            registered = self._registered(run, ended, tail)
        except Transient:
            self._keep(job.id, tail)
            raise
        except TrainingError:
            TRAININGS.labels(job.key, "failed").inc()
            self._keep(job.id, tail)
            shutil.rmtree(spec.work_dir, ignore_errors=True)
            raise
        TRAININGS.labels(job.key, "registered").inc()
        SECONDS.labels(job.key).observe(time.monotonic() - started)
        shutil.rmtree(spec.work_dir, ignore_errors=True)  # everything is in MLflow now

        def record(session: Session) -> None:
            keep(session, job.id, tail, registered)
            self._outbox.emit(session, registered, cause=job.cause, event_id=f"{job.id}-registered")

        return record

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Emit the failure event, in the transaction in which the job fails."""
        task = TrainingTask.model_validate(job.payload)
        failed = TrainingFailed(
            model_name=task.model_name,
            job_id=job.id,
            reason=reason_of(error),
            window=task.window,
            trigger=task.trigger,
        )
        self._outbox.emit(session, failed, cause=job.cause, event_id=f"{job.id}-failed")

    def _registered(self, run: JobRun, ended: Ended, tail: str) -> ModelRegistered:
        if ended.status is None:
            if run.cancelled.is_set():
                TRAININGS.labels(run.job.key, "interrupted").inc()
                raise Transient("the training was interrupted; another worker, or a later run, does it")
            raise TrainingError(
                f"training took longer than {self._settings.timeout_seconds:g} s (TRAINER_TIMEOUT_SECONDS)"
            )
        report = ended.report
        match ending(ended.status, report.error if report else None, _last_line(tail)):
            case Retry(reason):
                TRAININGS.labels(run.job.key, "waits").inc()
                raise Transient(reason)
            case Failed(reason):
                raise TrainingError(reason)
        if report is None or report.registered is None:
            raise TrainingError("the training process ended well but named no version; see its log")
        if report.again:
            log.info("version taken up from an interrupted run", model_version=report.registered.model_version)
        return report.registered

    def _noted(self, run: JobRun, process: TrainingProcess, progress: Progress) -> None:
        run.progress(progress.progress, progress.message)
        self._keep(run.job.id, process.log_tail())

    def _keep(self, job_id: str, tail: str) -> None:
        try:
            with self._database.transaction() as session:
                keep(session, job_id, tail)
        except Transient as error:
            log.info("log not kept for now", error=str(error))

    def _work_dir(self, job_id: str) -> Path:
        return self._settings.data_dir.resolve() / "trainer" / "jobs" / job_id


def task_of(payload: Mapping[str, Any]) -> TrainingTask:
    """Parse the payload. Raises TrainingError for unknown fields: ignoring them would train something else."""
    if unknown := sorted(payload.keys() - TrainingTask.model_fields.keys()):
        raise TrainingError(
            f"the job holds {', '.join(map(repr, unknown))}, which this version of the trainer does not know; the"
            " version that queued it has to run it"
        )
    return TrainingTask.model_validate(payload)


def forget_old(folder: Path, seconds: float = 7 * 86_400) -> None:
    """Remove work folders unchanged for a week: their jobs have ended elsewhere."""
    for left in folder.glob("*"):
        if time.time() - left.stat().st_mtime > seconds:
            log.info("old work folder removed", folder=str(left))
            shutil.rmtree(left, ignore_errors=True)


def reason_of(error: str) -> str:
    """Return the error without the prefix of our own class name."""
    return error.removeprefix(f"{TrainingError.__name__}: ")


def _last_line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:1000] if lines else None
