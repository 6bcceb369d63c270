"""A story: what followed from one event, compact and in full, and where its time went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from chassis.http import Problem
from contracts.event_summaries import elapsed
from gatekeeper.charts.chart import Chart
from gatekeeper.charts.waterfall import Bar, waterfall_svg
from gatekeeper.console.pages import page
from gatekeeper.console.routes import PageRoute, page_router
from gatekeeper.console.site import Site
from gatekeeper.policy.story import Kind, Spent, Step, Story
from gatekeeper.stories.reading import Told

LINES = 300
"""Steps on a page."""
CLASSES = {
    Spent.PUBLISHING: "soft",
    Spent.QUEUED: "unsure",
    Spent.RUNNING: "mark",
    Spent.LOADING: "good",
    Spent.LIVE: "mark2",
    Spent.PEOPLE: "note",
}
AGGREGATES = ("mirror", "manifest")
"""Jobs that write to MLflow what is decided: in the full story only."""


def story_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/stories", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    def stories(request: Request, caller: CallerOf, model: Annotated[str | None, Query()] = None) -> HTMLResponse:
        """The newest stories, of a model or of all that the caller may read."""
        if model is not None:
            caller.require(Action.READ, model)
        found = site.stories.newest(model, caller.sees, 50)
        return page(request, caller, "stories.html", stories=found, model=model, elapsed=elapsed)

    @router.get(
        "/console/stories/{story_id}", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse
    )
    async def story(
        story_id: str, request: Request, caller: CallerOf, full: Annotated[bool, Query()] = False
    ) -> HTMLResponse:
        """A story by its correlation id, or by the id of one of its events."""
        route: PageRoute = request.scope["route"]
        told = await site.stories.read(story_id, caller.sees, route.authorization(request))
        if told is None:
            detail = (
                f"no event has the id or the correlation id {story_id!r}. Events are kept for"
                f" {site.settings.event_log_days:g} days. /console/stories lists the newest stories"
            )
            raise Problem(404, "no such story", detail)
        return page(request, caller, "story.html", **_context(told, full=full))

    return router


def _context(told: Told, *, full: bool) -> dict[str, Any]:
    story = told.story
    steps = [step for step in story.steps if full or step.on_path or step.name not in AGGREGATES]
    return {
        "told": told,
        "story": story,
        "lines": [_line(step) for step in steps[:LINES]],
        "left_out": len(steps) - len(steps[:LINES]) + story.left_out,
        "full": full,
        "elapsed": elapsed,
        "spent": sorted(story.spent.items(), key=lambda item: -item[1]),
        "models": sorted({step.model_name for step in story.steps}),
        "last": next(step for step in story.steps if step.id == story.path[-1]),
        "chart": _chart(story, steps[:LINES]),
    }


def _line(step: Step) -> dict[str, Any]:
    took = None if step.ends is None else (step.ends - step.begins).total_seconds()
    links = []
    model = f"/console/models/{quote(step.model_name, safe='')}"
    if step.name in ("GatePassed", "GateFailed", "Promoted") and step.model_version:
        links.append((f"{model}/versions/{step.model_version}", "verdict"))
    if step.rollout_id:
        links.append((f"{model}/rollout", "rollout"))
    if step.name == "DriftDetected":
        links.append((f"{model}/drift", "drift"))
    if step.audit:
        links.append((f"/console/audit?model={quote(step.model_name, safe='')}", f"audit row {step.audit[0]}"))
    parts = [
        (span.spent.value, None if span.ends is None else (span.ends - span.begins).total_seconds())
        for span in step.spans
    ]
    return {"step": step, "took": took, "links": links, "parts": parts, "indent": "\u2003" * min(step.depth, 8)}


def _chart(story: Story, steps: list[Step]) -> Chart:
    begin = story.begins
    bars = []
    for step in steps:
        parts = tuple(
            (
                CLASSES[span.spent],
                (span.begins - begin).total_seconds(),
                ((span.ends or story.ends) - begin).total_seconds(),
            )
            for span in step.spans
        )
        at = (step.begins - begin).total_seconds()
        version = f" v{step.model_version}" if step.model_version else ""
        bars.append(Bar(f"{step.name}{version}", step.depth, parts or (("bound", at, at),), emphasized=step.on_path))
    legend = [(CLASSES[each], each.value) for each in Spent]
    width, height, svg = waterfall_svg(bars, story.seconds, legend)
    ends = "the swap" if story.swapped else "its last step"
    return Chart(
        id="waterfall",
        title="Where the time went",
        description=f"{len(steps)} steps in {elapsed(story.seconds)}; the critical path to {ends} took"
        f" {elapsed(story.path_seconds)}: "
        + (", ".join(f"{each.value} {elapsed(seconds)}" for each, seconds in story.spent.items()) or "no time"),
        width=width,
        height=height,
        svg=svg,
        columns=("step", "begins after", "took", *(each.value for each in Spent)),
        rows=tuple(_row(story, step) for step in steps),
    )


def _since(story: Story, at: datetime) -> float:
    return (at - story.begins).total_seconds()


def _row(story: Story, step: Step) -> tuple[Any, ...]:
    spent = {
        each: sum(
            ((span.ends or story.ends) - span.begins).total_seconds() for span in step.spans if span.spent is each
        )
        for each in Spent
    }
    name = f"job {step.name}" if step.kind is Kind.JOB else step.name
    took = "running" if step.ends is None else elapsed((step.ends - step.begins).total_seconds())
    begins = elapsed(_since(story, step.begins))
    return (name, begins, took, *(elapsed(spent[each]) if spent[each] else "" for each in Spent))
