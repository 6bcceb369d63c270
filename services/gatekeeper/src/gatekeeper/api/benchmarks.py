"""The HTTP API of benchmarks: their results, as JSON and as a page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import Field

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from contracts import BenchmarkCompleted, BenchmarkDue
from gatekeeper.api.models import Limit, readable
from gatekeeper.api.tournaments import TournamentReplayRequest, TournamentReplayView, TournamentView, needed
from gatekeeper.benchmarks.page import render
from gatekeeper.database import benchmarks, golden_datasets
from gatekeeper.database.benchmark_tables import BenchmarkRow
from gatekeeper.promotion.commands import Decisions
from gatekeeper.read_models import View
from gatekeeper.replay import Replayer
from gatekeeper.tournaments.ground import tournament_id


class BenchmarkView(View):
    """A benchmark: the rows that it runs on, and what it found, once it is completed."""

    id: str
    model_name: str
    state: str = Field(description="due or completed")
    due_at: datetime
    due: BenchmarkDue
    completed_at: datetime | None
    completed: BenchmarkCompleted | None


class BenchmarkDetail(BenchmarkView):
    results: dict[str, Any] | None = Field(description="As benchmark_results.json in MLflow has them")
    tournament: TournamentView | None = Field(description="The one that followed on its rows; null: none was played")


def benchmarks_router(database: Database, decisions: Decisions, replayer: Replayer) -> APIRouter:
    router = guarded_router(tags=["benchmarks"])

    @router.get("/benchmarks", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def list_benchmarks(
        caller: CallerOf,
        model_name: Annotated[str | None, Query(description="Only of this model")] = None,
        limit: Limit = 100,
    ) -> list[BenchmarkView]:
        """Benchmarks of the models that the caller may read, the newest first."""
        if model_name is not None:
            caller.require(Action.READ, model_name)
            decisions.known(model_name)
        with database.reading() as session:
            visible = readable(session, caller, BenchmarkRow.model_name)
            return [_view(row) for row in benchmarks.newest(session, model_name, limit, visible)]

    @router.get("/benchmarks/{benchmark_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def show_benchmark(benchmark_id: str, caller: CallerOf) -> BenchmarkDetail:
        """One benchmark with its results."""
        with database.reading() as session:
            row = _row(benchmarks.by_id(session, benchmark_id), benchmark_id, caller)
            played = golden_datasets.tournament_by_id(session, tournament_id(row.id))
            view = None if played is None else TournamentView.model_validate(played)
            return BenchmarkDetail(**_view(row).model_dump(), results=row.results, tournament=view)

    @router.get(
        "/benchmarks/{benchmark_id}/page",
        openapi_extra=allowed(Action.READ, Scope.EACH),
        response_class=HTMLResponse,
        responses=problems(404),
    )
    def benchmark_page(benchmark_id: str, caller: CallerOf) -> HTMLResponse:
        """The results as an HTML page."""
        with database.reading() as session:
            row = _row(benchmarks.by_id(session, benchmark_id), benchmark_id, caller)
            if row.results is None:
                raise Problem(404, "no results yet", f"benchmark {benchmark_id} is {row.state}")
            return HTMLResponse(render(row.results, row.completed_at))

    @router.post(
        "/benchmarks/{benchmark_id}/tournament/replay",
        openapi_extra=allowed(Action.OPERATE, Scope.EACH),
        responses=problems(404, 409, 503),
    )
    def replay_tournament(
        benchmark_id: str, request: TournamentReplayRequest, caller: CallerOf
    ) -> TournamentReplayView:
        """Re-evaluate the evidence of the tournament that followed; nothing is changed."""
        with database.reading() as session:
            row = _row(benchmarks.by_id(session, benchmark_id), benchmark_id, caller)
            caller.require(Action.OPERATE, row.model_name)
            played = golden_datasets.tournament_by_id(session, tournament_id(row.id))
            if played is None:
                raise Problem(404, "no such tournament", f"no tournament was played after benchmark {benchmark_id}")
            evidence = dict(played.evidence)
        with needed(f"the tournament after benchmark {benchmark_id} cannot be played again"):
            return TournamentReplayView.model_validate(replayer.replay_tournament(evidence, request.policy))

    return router


def _row(found: BenchmarkRow | None, benchmark_id: str, caller: Caller) -> BenchmarkRow:
    if found is None or not caller.sees(found.model_name):
        raise Problem(404, "no such benchmark", f"{benchmark_id!r} is no benchmark's id; GET /benchmarks lists them")
    return found


def _view(row: BenchmarkRow) -> BenchmarkView:
    return BenchmarkView(
        id=row.id,
        model_name=row.model_name,
        state=row.state,
        due_at=row.due_at,
        due=BenchmarkDue.model_validate(row.due),
        completed_at=row.completed_at,
        completed=None if row.completed is None else BenchmarkCompleted.model_validate(row.completed),
    )
