"""The first page: what needs somebody, then a line a model."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database import queries
from gatekeeper.read_models import model_view


def overview_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    def overview(request: Request, caller: CallerOf) -> HTMLResponse:
        """What needs somebody, and the models that the caller may read."""
        with site.database.reading() as session:
            names = sorted(filter(caller.sees, queries.model_names(session) | site.policies.keys()))
            models = [model_view(session, name, site.policies.get(name)) for name in names]
        return page(request, caller, "overview.html", models=models)

    return router
