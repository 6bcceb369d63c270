"""Routes of pages: the token comes in a cookie, bodies are forms, and a refusal is a page.

The API takes no cookie, so that no page of others can have a browser decide something there. Here the cookie is sent
by our own pages only (SameSite=Strict), and a form must carry our own Origin (`chassis.auth.browser`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from chassis.auth.browser import unsupported
from chassis.auth.routes import GuardedRoute
from chassis.http import Problem, problem_of
from chassis.telemetry import get_logger
from gatekeeper.console.pages import COOKIE, problem_page

PREFIX = "/console/"
FORM = "application/x-www-form-urlencoded"
LARGEST_FORM = 64 * 1024

log = get_logger(__name__)


class PageRoute(GuardedRoute):
    """A route that shows a page, or takes a form of one."""

    def authorization(self, request: Request) -> str | None:
        return authorization_of(request)

    def require_media_type(self, request: Request) -> None:
        media_type = request.headers.get("content-type", "")
        if media_type.split(";", 1)[0].strip().lower() != FORM:
            raise unsupported(media_type.encode("latin-1"))
        # It is read whole, by the form for a token from anybody.
        if not request.headers.get("content-length", "").isdecimal():
            raise Problem(411, "length required", "a form says how long it is, in the header Content-Length")
        if int(request.headers["content-length"]) > LARGEST_FORM:
            raise Problem(413, "too large", f"a form has at most {LARGEST_FORM:,} bytes")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    log.exception("unexpected error", path=request.url.path)
                    problem = Problem(500, "unexpected error", "The gatekeeper has a defect, or a part of it is away.")
                return problem_page(request, problem)

        return shown


def authorization_of(request: Request) -> str | None:
    """Return the Authorization of a request of a page: its header, or the token of its cookie."""
    token = request.cookies.get(COOKIE)
    return request.headers.get("authorization") or (f"Bearer {token}" if token else None)


def show_problems_as_pages(app: FastAPI) -> None:
    """Also where no route is: show a page for an address below PREFIX that leads nowhere."""
    otherwise = app.exception_handlers[HTTPException]

    @app.exception_handler(HTTPException)
    async def shown(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if not path.startswith(PREFIX):
            return await otherwise(request, error)
        match error.status_code:
            case 404:
                problem = Problem(404, "no such page", f"The console has no page {path}.")
            case 405:
                headers = dict(error.headers or {})
                problem = Problem(405, "no page", f"{path} takes no {request.method}.", headers=headers)
            case _:
                return await otherwise(request, error)
        return problem_page(request, problem)


def page_router(**options: Any) -> APIRouter:
    """Return a router for pages, whose routes must declare their action."""
    return APIRouter(route_class=PageRoute, tags=["console"], **options)
