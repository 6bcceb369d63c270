"""The Model screen: champion, challenger, actions, the metric by version, and the timeline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed
from chassis.http import Problem
from contracts.event import LARGEST_INTEGER
from gatekeeper.console.model_view import model_page
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database.timeline import Place


def model_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/models/{model_name}", openapi_extra=allowed(Action.READ), response_class=HTMLResponse)
    def model(
        request: Request,
        model_name: str,
        caller: CallerOf,
        before: Annotated[str | None, Query(description="Where the page of the timeline begins")] = None,
        done: Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER, description="The audit row of a decision")] = None,
    ) -> HTMLResponse:
        """Who is champion, who wants to be, and what was: versions and promotions, newest first."""
        site.decisions.known(model_name)
        try:
            place = None if before is None else Place.read(before)
        except ValueError as error:
            raise Problem(422, "invalid request", f"before: {error}") from error
        decided = None if done is None else site.decision_of(model_name, done)
        policy, problem = site.policies.get(model_name), site.policies.problem_of(model_name)
        with site.database.reading() as session:
            shown = model_page(session, model_name, policy, problem, caller, place, decided)
            return page(request, caller, "model.html", shown=shown)

    return router
