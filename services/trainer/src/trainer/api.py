"""HTTP: the training jobs, waiting, running and past."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from chassis.jobs import Job, Jobs
from contracts import ModelRegistered
from trainer.database.store import training
from trainer.handlers import KIND
from trainer.jobs.training_job import reason_of
from trainer.spec import TrainingTask

State = Literal["queued", "running", "done", "failed"]


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    model_name: str
    state: State
    progress: float | None = Field(description="Share, 0 to 1")
    message: str | None = Field(description="What it does, or what it waits for")
    error: str | None
    attempts: int
    trigger: str
    event_id: str | None = Field(description="The event that asked for it")
    window: str | None
    from_run: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobDetail(JobSummary):
    """One job whole."""

    log_tail: str = Field(description="The end of what the newest training process printed")
    result: ModelRegistered | None = Field(description="The version that came of it")


def jobs_router(database: Database, jobs: Jobs) -> APIRouter:
    router = guarded_router(tags=["jobs"])

    @router.get("/jobs", openapi_extra=allowed(Action.READ, Scope.EACH))
    def list_jobs(
        caller: CallerOf,
        model: Annotated[str | None, Query(description="Only of this model")] = None,
        state: State | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[JobSummary]:
        """Training jobs, newest first; with `model` or `state`, those among the newest 1,000.

        Who may not read all models gets those that they may read, among the newest 1,000.
        """
        if model is not None:
            caller.require(Action.READ, model)
        every = caller.may(Action.READ, None)
        with database.reading() as session:
            found = jobs.newest(session, kind=KIND, limit=limit if every and model is None and state is None else 1000)
        found = found if every else [job for job in found if caller.sees(job.key)]
        chosen = [job for job in found if model in (None, job.key) and state in (None, job.state)]
        return [JobSummary.model_validate(_summary(job)) for job in chosen[:limit]]

    @router.get("/jobs/{job_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def show_job(job_id: str, caller: CallerOf) -> JobDetail:
        """A training job with its result and the end of its log."""
        with database.reading() as session:
            job = jobs.get(session, job_id)
            if job is None or not caller.sees(job.key):
                raise Problem(404, "no such job", f"no training job has the id {job_id!r}; GET /jobs lists them")
            row = training(session, job_id)
            detail = {"log_tail": row.log_tail if row else "", "result": row.registered if row else None}
        return JobDetail.model_validate(_summary(job) | detail)

    return router


def _summary(job: Job) -> dict[str, object]:
    task = TrainingTask.model_validate(job.payload)
    return {
        "id": job.id,
        "model_name": job.key,
        "state": job.state,
        "progress": job.progress,
        "message": job.message,
        "error": reason_of(job.error) if job.error else None,
        "attempts": job.attempts,
        "trigger": task.trigger.kind,
        "event_id": task.trigger.event_id,
        "window": task.window,
        "from_run": task.from_run,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }
