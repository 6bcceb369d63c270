"""What the screens of the console are made from, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from chassis.auth.roles import Action
from chassis.auth.routes import allowed
from chassis.database import Database
from chassis.http import Problem
from chassis.policy_store import PolicyStore
from gatekeeper.console.live import LiveFeed
from gatekeeper.console.routes import page_router
from gatekeeper.console.services import Services
from gatekeeper.database.tables import AuditRow
from gatekeeper.promotion.commands import Decisions
from gatekeeper.read_models import AuditView, audit_view
from gatekeeper.replay import Replayer
from gatekeeper.rollout.approvals import Approvals
from gatekeeper.stories.reading import Stories

if TYPE_CHECKING:
    from gatekeeper.settings import Settings

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Site:
    """`ready` raises Transient until the history is restored: no decision is made on an incomplete one."""

    settings: Settings
    database: Database
    policies: PolicyStore
    decisions: Decisions
    approvals: Approvals
    ready: Callable[[], None]
    services: Services
    live: LiveFeed
    stories: Stories
    replayer: Replayer

    def decision_of(self, model_name: str, sequence: int) -> AuditView | None:
        """Return this row of the audit trail, if it is of this model."""
        with self.database.reading() as session:
            row = session.get(AuditRow, sequence)
            return audit_view(row) if row is not None and row.model_name == model_name else None


SCREENS = (
    "audit",
    "dead_letter",
    "decide",
    "drift",
    "fleet",
    "live",
    "login",
    "model",
    "operations",
    "overview",
    "policy",
    "rollout",
    "story",
    "version",
)
"""Modules of `screens`; each has a function NAME_router(site)."""


def console_routers(site: Site) -> list[APIRouter]:
    """Return all screens: a new one is a module in `screens` and its name in SCREENS."""
    screens = [getattr(import_module(f"gatekeeper.console.screens.{name}"), f"{name}_router") for name in SCREENS]
    return [_static_router(), *(screen(site) for screen in screens)]


def _static_router() -> APIRouter:
    router = page_router()

    @router.get("/console/static/{file}", openapi_extra=allowed(Action.OPEN), response_class=Response)
    def static(file: str) -> Response:
        """A style sheet, script or picture of the console."""
        return _file(file)

    @router.get("/console", openapi_extra=allowed(Action.OPEN), response_class=RedirectResponse)
    def console() -> RedirectResponse:
        """The overview is at `/`."""
        return RedirectResponse("/", 307)

    @router.get("/favicon.ico", openapi_extra=allowed(Action.OPEN), response_class=Response)
    def favicon() -> Response:
        """The picture that browsers look for on pages that name none, such as reports and JSON."""
        return _file("icon.svg")

    return router


def _file(name: str) -> Response:
    found = files("gatekeeper.console") / "static" / name
    media_type = next((kind for ending, kind in MEDIA_TYPES.items() if name.endswith(ending)), None)
    if media_type is None or "/" in name or not found.is_file():
        raise Problem(404, "no such file", f"the console has no file {name!r}")
    return Response(found.read_bytes(), media_type=media_type, headers={"Cache-Control": "max-age=300"})
