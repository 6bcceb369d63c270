"""The first page: what needs somebody, then a line a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database.overview import overview as read
from gatekeeper.policy.attention import Kind, Severity

EXAMPLE = "flights-delay"
"""Its recipe comes with Gauntlet; a stack without its policy begins with a model of its own."""
MOST_NEEDS = 30
"""Shown; what is left out is counted."""
LOOK_AT: Mapping[Kind, str] = {
    Kind.LAGGING: "/console/fleet",
    Kind.LOAD_FAILED: "/console/fleet",
    Kind.APPROVAL: "/console/models/{model}/versions/{version}",
    Kind.ROLLOUT: "/console/models/{model}/rollout",
    Kind.TRAINING: "/console/operations",
    Kind.DRIFT: "/console/models/{model}/drift",
    Kind.HELD: "/console/models/{model}/versions/{version}",
    Kind.JOB: "/console/operations",
    Kind.DEAD_LETTERS: "/console/operations#dead-letters",
    Kind.NOTIFICATIONS: "/console/operations#notifications",
}
"""The page on which each kind of item can be looked at."""
SEVERITIES = {Severity.NOW: ("now", "bad"), Severity.DECIDE: ("decide", "unsure"), Severity.LOOK: ("look", "note")}
"""Word and class of a badge."""


def overview_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    def overview(request: Request, caller: CallerOf) -> HTMLResponse:
        """What needs somebody, and the models that the caller may read."""
        with site.database.reading() as session:
            found = read(
                session,
                site.policies,
                caller.sees,
                datetime.now(UTC),
                everything=caller.may(Action.READ, None),
            )
        return page(
            request,
            caller,
            "overview.html",
            needs=found.needs[:MOST_NEEDS],
            more=max(0, len(found.needs) - MOST_NEEDS),
            unread=_unread(site, caller),
            models=found.models,
            fresh=not any(line.champion or line.counts for line in found.models),
            example=EXAMPLE if EXAMPLE in site.policies and caller.sees(EXAMPLE) else None,
            own=next(filter(caller.sees, sorted(site.policies.keys())), "NAME"),
            look_at=LOOK_AT,
            severities=SEVERITIES,
        )

    return router


def _unread(site: Site, caller: Caller) -> list[dict[str, Any]]:
    """Return the policies that cannot be used, of models that the caller may read; all to who may read all models."""
    everything = caller.may(Action.READ, None)
    problems = site.policies.details()["problems"]
    return [each for each in problems if everything or (each["model"] and caller.sees(each["model"]))]
