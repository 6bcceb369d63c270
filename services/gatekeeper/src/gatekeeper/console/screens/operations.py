"""What runs, waits and failed: parts that are not ready, jobs, messages that were given up on, streams, replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from chassis import jobs
from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from gatekeeper.console.figures import lags, own_lags
from gatekeeper.console.pages import page
from gatekeeper.console.routes import authorization_of, page_router
from gatekeeper.console.screens.fleet import Line, lines_of, names_of
from gatekeeper.console.services import Away
from gatekeeper.console.site import Site
from gatekeeper.database import dead_letters, notifications, refused_records
from gatekeeper.database.dead_letters import DeadLetterRow
from gatekeeper.database.notification_tables import NotificationMessageRow

JOBS = 100
LETTERS = 100
MOST_COUNTED = 10_000
REFUSED = timedelta(days=7)
HIDDEN = "unavailable"
"""What stands for a reason that only who may read all models may see, as in /ready."""


@dataclass(frozen=True)
class Readiness:
    """Of one service. `failing`: what is not ready, with the reason; `away`: it did not respond."""

    service: str
    failing: Mapping[str, str]
    away: str | None = None


@dataclass(frozen=True)
class JobLine:
    service: str
    id: str
    kind: str
    key: str
    state: str
    progress: float | None
    message: str | None
    error: str | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Own:
    """What the gatekeeper's database has of it."""

    jobs: tuple[JobLine, ...]
    letters: Sequence[DeadLetterRow]
    letters_in_all: int
    messages: Sequence[NotificationMessageRow] | None
    """To people, which were given up; None: the caller may not read all models."""
    refused: int
    lagging: tuple[Line, ...]


def operations_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/operations", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    async def operations(request: Request, caller: CallerOf, replayed: str | None = None) -> HTMLResponse:
        """What runs, waits and failed; `replayed`: the letter that was just sent again."""
        token, services = authorization_of(request), site.services
        own, mine, trainings, lag, *others = await asyncio.gather(
            run_in_threadpool(_own, site, caller),
            request.app.state.failing(),
            services.get("trainer", "/jobs", token, limit=JOBS),
            services.text("drift", "/metrics", token),
            *(services.ready(name, token) for name in services.urls),
        )
        all_models = caller.may(Action.READ, None)
        found = [Readiness("gatekeeper", mine if all_models else dict.fromkeys(mine, HIDDEN))]
        found += [readiness(name, each) for name, each in zip(services.urls, others, strict=True)]
        away = trainings if isinstance(trainings, Away) else None
        lines = own.jobs + (() if isinstance(trainings, Away) else trainings_of(trainings))
        streams = lag if isinstance(lag, Away) else [*own_lags(), *lags(lag)]
        return await run_in_threadpool(
            lambda: page(
                request,
                caller,
                "operations.html",
                own=own,
                parts=found,
                running=[each for each in lines if each.state in jobs.UNFINISHED],
                failed=sorted_failed(lines),
                trainer_away=away,
                streams=streams,
                all_models=all_models,
                replayed=replayed,
            )
        )

    return router


def _own(site: Site, caller: Caller) -> Own:
    with site.database.reading() as session:
        found = [*jobs.unfinished(session, JOBS), *jobs.failed(session, JOBS)]
        names = names_of(session, site, caller)
        visible = None if caller.may(Action.READ, None) else names
        letters = dead_letters.newest(session, visible, LETTERS)
        in_all = dead_letters.count(session, MOST_COUNTED) if visible is None else len(letters)
        messages = notifications.failed_messages(session, LETTERS) if visible is None else None
        refused = refused_records.count_since(session, datetime.now(UTC) - REFUSED)
        lagging = tuple(line for line in lines_of(session, names) if line.replica.lagging)
    return Own(
        tuple(_job(each) for each in found if caller.sees(each.key)), letters, in_all, messages, refused, lagging
    )


def _job(job: jobs.Job) -> JobLine:
    names = [name for name in JobLine.__dataclass_fields__ if name != "service"]
    return JobLine(service="gatekeeper", **{name: getattr(job, name) for name in names})


def trainings_of(found: Sequence[Mapping[str, Any]]) -> tuple[JobLine, ...]:
    """Return the trainer's jobs, as its GET /jobs has them."""

    def moment(text: str | None) -> Any:
        return None if text is None else datetime.fromisoformat(text)

    return tuple(
        JobLine(
            service="trainer",
            id=each["id"],
            kind="training",
            key=each["model_name"],
            created_at=moment(each["created_at"]),
            started_at=moment(each["started_at"]),
            ended_at=moment(each["ended_at"]),
            **{name: each[name] for name in ("state", "progress", "message", "error", "attempts")},
        )
        for each in found
    )


def sorted_failed(lines: Sequence[JobLine]) -> list[JobLine]:
    """Return the jobs that have failed, the newest first."""
    found = [each for each in lines if each.state == jobs.FAILED]
    return sorted(found, key=lambda each: each.ended_at or each.created_at, reverse=True)


def readiness(service: str, found: Mapping[str, Any] | Away) -> Readiness:
    """Return what is not ready, from the body of a service's /ready."""
    if isinstance(found, Away):
        return Readiness(service, {}, found.reason)
    failing = found.get("failing") or {}
    return Readiness(service, {str(part): str(reason) for part, reason in failing.items()})
