"""The fleet: what each replica should have loaded of each model and has, and what one replica counts.

The gatekeeper knows all replicas by their reports. Form, memory, requests and latencies are of the one replica at
SERVING_URL: each counts for itself, and only /metrics of all of them, collected by Prometheus, is the whole.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from contracts import Mode
from gatekeeper.charts.bars import bars_svg
from gatekeeper.charts.chart import Chart
from gatekeeper.console.figures import ModelFigures, ReplicaFigures, replica_figures
from gatekeeper.console.pages import page
from gatekeeper.console.routes import authorization_of, page_router
from gatekeeper.console.services import Away
from gatekeeper.console.site import Site
from gatekeeper.database import model_rows, queries, rollouts
from gatekeeper.rollout.views import FleetReplica, fleet_replica

CHARTS = 12
"""Models with a histogram: those with the most requests; the others are in the table."""


@dataclass(frozen=True)
class Line:
    """A replica and a model."""

    model_name: str
    replica: FleetReplica


@dataclass(frozen=True)
class Served:
    """A model on the replica that was read."""

    model_name: str
    version: int | None
    form: str | None
    refused: str | None
    """Why it is not served in another form."""
    isolated: bool
    evicted: bool
    resident: tuple[int, ...]
    failure: str | None
    figures: ModelFigures | None


@dataclass(frozen=True)
class Replica:
    """The replica at SERVING_URL. `figures`: Away where its metrics may not be read."""

    name: str
    role: str
    models: tuple[Served, ...]
    figures: ReplicaFigures | Away
    charts: tuple[Chart, ...]


def fleet_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/fleet", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    async def fleet(request: Request, caller: CallerOf) -> HTMLResponse:
        """Every replica and model: what it should have and has, and what the replica at SERVING_URL counts."""
        token = authorization_of(request)
        lines, models, metrics = await asyncio.gather(
            run_in_threadpool(_lines_of, site, caller),
            site.services.get("serving", "/models", token),
            site.services.text("serving", "/metrics", token),
        )
        away = models if isinstance(models, Away) else None
        one = None if isinstance(models, Away) else replica(models, metrics, caller)
        return await run_in_threadpool(
            lambda: page(request, caller, "fleet.html", lines=lines, one=one, away=away, without=not lines)
        )

    return router


def _lines_of(site: Site, caller: Caller) -> tuple[Line, ...]:
    with site.database.reading() as session:
        return lines_of(session, names_of(session, site, caller))


def names_of(session: Session, site: Site, caller: Caller) -> list[str]:
    """Return the models that the caller may read: with a policy, or with a past."""
    return sorted(filter(caller.sees, queries.model_names(session) | site.policies.keys()))


def lines_of(session: Session, names: Sequence[str]) -> tuple[Line, ...]:
    """Return a line a replica and model, those that lag first."""
    found, running = model_rows.rows_of(session, names, events=False), rollouts.all_running(session)
    lines = []
    for name in names:
        rows, row = found[name], running.get(name)
        tried = None if row is None or rollouts.step_of(row).mode is Mode.OFF else row
        challenger = rows.challenger.model_version if rows.challenger else None
        lines += [Line(name, fleet_replica(each, rows.champion, challenger, tried)) for each in rows.replicas]
    return tuple(sorted(lines, key=lambda line: (not line.replica.lagging, line.model_name)))


def replica(models: Mapping[str, Any], metrics: str | Away, caller: Caller) -> Replica:
    """Return what is shown of a replica, from its /models and /metrics; of the models that the caller may read."""
    figures: ReplicaFigures | Away
    if isinstance(metrics, Away):
        figures = metrics
    else:
        try:
            figures = replica_figures(metrics)
        except ValueError as error:
            figures = Away("serving", "", f"its metrics cannot be read: {error}")
    of_models = {} if isinstance(figures, Away) else figures.models
    served = tuple(_served(each, of_models.get(each["model_name"])) for each in models["models"])
    busy = sorted(
        (each for each in served if each.figures is not None and each.figures.requests),
        key=lambda each: -(each.figures.requests if each.figures else 0),
    )
    charts = tuple(
        histogram(number, each.model_name, each.figures)
        for number, each in enumerate(busy[:CHARTS])
        if each.figures is not None and caller.sees(each.model_name)
    )
    return Replica(models["replica"], models["role"], served, figures, charts)


def _served(about: Mapping[str, Any], figures: ModelFigures | None) -> Served:
    form, failure = about.get("form") or {}, about.get("last_failure")
    refused = "; ".join(f"{each['form']}: {each['reason']}" for each in form.get("refused") or ())
    return Served(
        model_name=about["model_name"],
        version=about["model_version"],
        form=form.get("name"),
        refused=refused or None,
        isolated=bool(about.get("isolated")),
        evicted=bool(about.get("evicted")),
        resident=tuple(about.get("resident_versions") or ()),
        failure=None if not failure else str(failure.get("reason", failure)),
        figures=figures,
    )


def histogram(number: int, model_name: str, figures: ModelFigures) -> Chart:
    """Return the latencies of a model's requests as a chart: a bar a bucket, each wider than the one before."""
    labels = [_label(end) for end, _ in figures.buckets]
    counts = [count for _, count in figures.buckets]
    width, height, svg = bars_svg(labels, counts, "milliseconds, at most")
    p95 = figures.p95_ms or 0.0
    within = f"within {p95:g} ms" if math.isfinite(p95) else f"beyond {1000 * figures.buckets[-2][0]:g} ms"
    return Chart(
        f"latency-{number}",
        f"Latency of {model_name}",
        f"{figures.requests:,} requests, {figures.mean_ms or 0:.3g} ms on average, 95 % {within}; from"
        " a request's first byte to its response, since this replica has started.",
        width,
        height,
        svg,
        ("at most (ms)", "requests", "share"),
        tuple(
            (label, count, f"{100 * count / max(1, figures.requests):.3g} %")
            for label, count in zip(labels, counts, strict=True)
        ),
    )


def _label(end: float) -> str:
    return f"{1000 * end:g}" if math.isfinite(end) else "more"
