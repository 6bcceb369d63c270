"""How pages are rendered: the templates, what every page has, and the headers that keep foreign content out."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from chassis.auth.access import Access, Caller
from chassis.http import Problem
from gatekeeper.console.consequences import ACTIONS, Decision
from gatekeeper.console.words import age, duration, utc
from gatekeeper.report.page import equip

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


COOKIE = "gauntlet_token"

NO_TOKEN = "This needs a valid token."

REMEDIES = {
    403: "Who administers the stack can change what your token permits.",
    404: "The link may be old or mistyped. The overview lists everything that you may read.",
    405: "The link may be old or mistyped. The overview leads to everything that you may decide.",
    409: "Look at the present state and decide again.",
    422: "Go back and correct what you entered.",
    429: "Wait a minute and try again.",
    503: "It is not permanent: try again in a few seconds. `gauntlet status` shows which part is not ready.",
}
"""What to do, by status; other statuses are a defect or a wrong client."""


def page(request: Request, caller: Caller | None, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a template with what every page has: the caller, the path, and the time."""
    own = {"caller": caller, "path": request.url.path, "now": datetime.now(UTC)}
    body = environment().get_template(template).render(own | context)
    return HTMLResponse(body, status, headers=HEADERS)


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """Show a refusal: what happened, and what to do. Without a valid token, the page is the form for one."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if problem.status == 401:
        return login_page(request, here, problem)
    caller = getattr(request.state, "caller", None)
    remedy = REMEDIES.get(problem.status, "Try again; if it stays so, the log of the gatekeeper says more.")
    shown = page(request, caller, "problem.html", status=problem.status, problem=problem, remedy=remedy, here=here)
    shown.headers.update(problem.headers or {})
    return shown


def login_page(request: Request, path: str, problem: Problem | None = None) -> HTMLResponse:
    """Show the form for a token, which leads to `path`; a cookie with a token that is not valid is taken away."""
    access: Access = request.app.state.access
    token = request.cookies.get(COOKIE)
    caller = access.known(f"Bearer {token}".encode() if token else None)
    status = 200 if problem is None else problem.status
    said = NO_TOKEN if status == 401 else problem and problem.detail
    linked = token is None and request.method == "GET"
    shown = page(request, caller, "login.html", status=status, on=access.on, next=path, said=said, linked=linked)
    if problem is not None:
        shown.headers.update(problem.headers or {})
        if problem.status == 401:
            shown.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return shown


@cache
def environment() -> Environment:
    """Return the templates of the console."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader("gatekeeper.console"), PackageLoader("gatekeeper.report")]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["may_decide"] = lambda caller, decision, model: caller.may(ACTIONS[Decision(decision)], model)
    equip(found)
    found.filters["query"] = lambda given: urlencode({key: each for key, each in given.items() if each is not None})
    found.filters.update(age=age, utc=utc, duration=duration, segment=lambda text: quote(str(text), safe=""))
    return found
