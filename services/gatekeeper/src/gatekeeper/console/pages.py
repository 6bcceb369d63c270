"""How pages are rendered: the templates, what every page has, and the headers that keep foreign content out."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from chassis.auth.access import Caller
from chassis.http import Problem
from gatekeeper.report.page import cell

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Nothing is fetched from elsewhere, and no text of a model, column, category or reason can run as a script."""


def page(request: Request, caller: Caller | None, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a template with what every page has: the caller, the path, and the time."""
    own = {"caller": caller, "path": request.url.path, "now": datetime.now(UTC)}
    body = environment().get_template(template).render(own | context)
    return HTMLResponse(body, status, headers=HEADERS)


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """Show a refusal: what happened, and what to do."""
    caller = getattr(request.state, "caller", None)
    shown = page(request, caller, "problem.html", status=problem.status, problem=problem)
    shown.headers.update(problem.headers or {})
    return shown


@cache
def environment() -> Environment:
    """Return the templates of the console."""
    found = Environment(
        loader=PackageLoader("gatekeeper.console"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["cell"] = cell
    return found
