"""The Audit screen: who did what, why and on what evidence, and the state of the chain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from contracts import AuditHeadSigned
from contracts.event import LARGEST_INTEGER
from gatekeeper.console.audit_check import AuditCheck
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database import audit_pages, kept_events
from gatekeeper.database.audit_pages import Filter

ON_A_PAGE = 50

Text = Annotated[str | None, Query(max_length=1000)]


def audit_router(site: Site) -> APIRouter:
    router = page_router()
    check = AuditCheck(site.database)

    @router.get("/console/audit", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    def audit(
        request: Request,
        caller: CallerOf,
        model: Text = None,
        action: Text = None,
        actor: Text = None,
        before: Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER, description="Only rows before this one")] = None,
    ) -> HTMLResponse:
        """The audit trail of the models that the caller may read, newest row first."""
        given = (each.replace("\0", "") if each else None for each in (model, actor, action))
        wanted = Filter(*(each or None for each in given))
        if wanted.model_name is not None:
            caller.require(Action.READ, wanted.model_name)
        sees_all = caller.may(Action.READ, None)
        with site.database.reading() as session:
            found = audit_pages.page(session, wanted, ON_A_PAGE, before, caller.sees)
            head = audit_pages.head_of(session)
            signed = kept_events.newest(session, AuditHeadSigned)
            return page(
                request,
                caller,
                "audit.html",
                found=found,
                wanted=wanted,
                first=before is None,
                head=head,
                signed=AuditHeadSigned.model_validate_json(signed.value) if signed is not None else None,
                sees_all=sees_all,
                checked=check.last,
                runs=check.runs,
            )

    @router.get("/console/audit/verify", openapi_extra=allowed(Action.READ, Scope.ALL), response_class=RedirectResponse)
    def verify() -> RedirectResponse:
        """Follow the chain of digests through the whole trail, and go to the page that shows what came of it."""
        check.begin()
        return RedirectResponse("/console/audit#chain", 303)

    return router
