"""HTTP: when the next benchmark of a model is due, and running one at once. Results are the gatekeeper's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from drift.api.models import model_of
from drift.benchmarks.scheduler import Scheduler, labelled, schedule_of
from drift.database import store
from drift.database.tables import BenchmarkRow
from drift.policies import DriftPolicies
from drift.policy.schedule import Due, too_few
from drift.policy.windows import MINIMUM_ROWS

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]


class ScheduleView(BaseModel):
    model_name: str
    every_seconds: float | None = Field(description="Interval of the policy; null: only on request")
    next_at: datetime | None = Field(description="End of the period, from which the next one is due; null: none is")
    reason: str = Field(description="What it waits for")
    waits: str | None = Field(description="Why there was none although a period had ended")
    labelled: int = Field(description="Labelled rows of the champion that are kept")
    running: str | None = Field(description="Id of the one whose rows are being stored")
    newest: str | None = Field(description="Id of the newest one, see the gatekeeper's GET /benchmarks/{benchmark_id}")
    announced_at: datetime | None


class BenchmarkRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    actor: Text | None = Field(
        default=None, description="Who wants it: required with AUTH=off; otherwise it is the token's subject"
    )
    reason: Text = Field(default="requested", description="Why")


class BenchmarkAccepted(BaseModel):
    """Its rows are being stored; its results follow at the gatekeeper's GET /benchmarks/{benchmark_id}."""

    benchmark_id: str


def benchmarks_router(database: Database, scheduler: Scheduler, policies: DriftPolicies) -> APIRouter:
    router = guarded_router(tags=["benchmarks"])

    @router.get("/models/{name}/benchmark", openapi_extra=allowed(Action.READ), responses=problems(404))
    def show_schedule(name: str) -> ScheduleView:
        """When the next benchmark is due, and what it waits for."""
        with database.reading() as session:
            return _view(session, scheduler, policies, model_of(session, name).model_name)

    @router.post(
        "/models/{name}/benchmark", openapi_extra=allowed(Action.OPERATE), status_code=202, responses=problems(404, 409)
    )
    def run_benchmark(name: str, request: BenchmarkRequest, caller: CallerOf) -> BenchmarkAccepted:
        """Run a benchmark at once, whatever the schedule; if one is about to, that one."""
        actor = caller.actor(request.actor)
        with database.transaction() as session:
            model_of(session, name)
            champion = store.lock_model(session, name).champion_version
            if champion is None:
                raise Problem(409, "no champion", f"no promotion of {name!r} is known: there is nothing to compare")
            rows = labelled(session, name, champion)
            if rows < MINIMUM_ROWS:
                raise Problem(409, "not enough rows", too_few(rows), rows=rows, minimum=MINIMUM_ROWS)
            made = scheduler.request(session, name, actor, request.reason, datetime.now(UTC))
            return BenchmarkAccepted(benchmark_id=made)

    return router


def _view(session: Session, scheduler: Scheduler, policies: DriftPolicies, name: str) -> ScheduleView:
    settings, row, now = policies.benchmark(name), session.get(BenchmarkRow, name), datetime.now(UTC)
    found = scheduler.look(session, name, settings.every, now) if settings else None
    next_at = None
    if found is not None:
        next_at = found.period if isinstance(found, Due) else found.until
    reason = "its policy has no schedule (benchmark: {every: 7d})"
    if found is not None:
        reason = "it is due" if isinstance(found, Due) else found.reason
    return ScheduleView(
        model_name=name,
        every_seconds=settings.every.total_seconds() if settings else None,
        next_at=next_at,
        reason=reason,
        waits=row.waits if row else None,
        labelled=schedule_of(session, name).labelled,
        running=row.running if row else None,
        newest=row.newest if row else None,
        announced_at=row.announced_at if row else None,
    )
