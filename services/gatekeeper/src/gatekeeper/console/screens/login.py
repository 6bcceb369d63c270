"""Log in and out: a token is verified, and kept by the browser in a cookie that no script and no other site can use."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from chassis.auth.access import Access
from chassis.auth.browser import LOOPBACK
from chassis.auth.roles import Action
from chassis.auth.routes import allowed
from chassis.http import Problem
from gatekeeper.console.pages import login_page
from gatekeeper.console.routes import COOKIE, page_router
from gatekeeper.console.site import Site

LOCAL = re.compile(r"/(\?[!-\[\]-~]*)?|/console/[!-\[\]-~]*")
"""Paths of our own pages. No backslash and no control character: browsers read these as a slash, or leave them out."""
LARGEST = 4000
"""Bytes of a token: browsers drop a cookie above 4,096 bytes, and do not say so."""


def login_router(_site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/login", openapi_extra=allowed(Action.OPEN), response_class=HTMLResponse)
    async def login_form(request: Request, next: str = "/") -> HTMLResponse:
        """The form for a token."""
        return login_page(request, local(next))

    @router.post("/console/login", openapi_extra=allowed(Action.OPEN), response_class=RedirectResponse)
    async def log_in(
        request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
    ) -> Response:
        """Verify a token, keep it in a cookie, and go back to the page that needed it."""
        access: Access = request.app.state.access
        if not access.on:
            return RedirectResponse(local(next), 303)
        try:
            secure = _secure(request)
            token = token.strip()
            if not token:
                raise Problem(422, "no token", "Enter a token.")
            if len(token.encode()) > LARGEST:
                raise Problem(422, "token too long", f"A browser keeps no token of more than {LARGEST:,} bytes.")
            address = request.client.host if request.client else ""
            await access.caller(f"Bearer {token}".encode(), address)
        except Problem as problem:
            return login_page(request, local(next), problem)
        response = RedirectResponse(local(next), 303)
        response.set_cookie(COOKIE, token, path="/", secure=secure, httponly=True, samesite="strict")
        return response

    @router.post("/console/logout", openapi_extra=allowed(Action.OPEN), response_class=RedirectResponse)
    async def log_out() -> RedirectResponse:
        """Have the browser forget the token. It stays valid: `gauntlet token revoke` ends it."""
        response = RedirectResponse("/console/login", 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    return router


def local(path: str) -> str:
    """Return `path` if it is one of our own pages, else that of the overview."""
    ours = LOCAL.fullmatch(path) is not None
    return path if ours and not path.startswith(("/console/login", "/console/logout")) else "/"


def _secure(request: Request) -> bool:
    """Whether the cookie is for https only. Raises Problem for a page that was opened over http from elsewhere: its
    token has travelled in the clear, and the browser would not keep the cookie."""
    origin = urlsplit(request.headers.get("origin", ""))  # of the browser's address, also behind a proxy with TLS
    if origin.scheme == "https":
        return True
    if origin.hostname in LOOPBACK:
        return False
    raise Problem(422, "not over https", "Tokens are taken over https only, or on the machine itself.")
