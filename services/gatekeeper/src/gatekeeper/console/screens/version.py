"""The Verdict screen: the verdict on a version, pictures of its predictions, and people's approval where it waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed
from chassis.http import Problem
from contracts import Stage
from contracts.event import LARGEST_INTEGER
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.console.verdict_pictures import VerdictPictures
from gatekeeper.database import queries, rollouts
from gatekeeper.read_models import candidate_view
from gatekeeper.report.page import verdict_of
from gatekeeper.rollout.views import rollout_view


def version_router(site: Site) -> APIRouter:
    router = page_router()
    pictures = VerdictPictures(site.replayer)

    @router.get(
        "/console/models/{model_name}/versions/{model_version}",
        openapi_extra=allowed(Action.READ),
        response_class=HTMLResponse,
    )
    def version(
        request: Request,
        model_name: str,
        model_version: Annotated[int, Path(ge=1, le=LARGEST_INTEGER)],
        caller: CallerOf,
    ) -> HTMLResponse:
        """The verdict on a version: what each gate observed, what is missing, and what it rests on."""
        site.decisions.known(model_name)
        with site.database.reading() as session:
            row = queries.candidate(session, model_name, model_version)
            if row is None:
                command = f"gauntlet register {model_name} {model_version}"
                detail = f"{model_name} v{model_version} was never registered; if MLflow has it: `{command}`"
                raise Problem(404, "no such version", detail)
            candidate = candidate_view(session, row)
            running = rollouts.running(session, model_name)
            own = running is not None and running.candidate_id == candidate.id
            rollout = rollout_view(session, running) if running is not None and own else None
        return page(
            request,
            caller,
            "version.html",
            pictures=pictures.of(candidate) if candidate.judged_at else None,
            rollout=rollout,
            waits=rollout is not None and rollout.stage == Stage.APPROVAL,
            **verdict_of(candidate),
        )

    return router
