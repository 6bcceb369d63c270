"""What open pages are told while they are open."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from chassis.auth.access import Access
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed
from gatekeeper.console.live import Listener, LiveStream
from gatekeeper.console.routes import authorization_of, page_router
from gatekeeper.console.site import Site


def live_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get(
        "/console/live",
        openapi_extra=allowed(Action.READ, Scope.EACH),
        response_class=StreamingResponse,
    )
    async def live(
        request: Request,
        caller: CallerOf,
        since: Annotated[AwareDatetime | None, Query(description="When the page was made")] = None,
        last_event_id: Annotated[str | None, Header(description="Of the last message before the stream broke")] = None,
    ) -> LiveStream:
        """Server-sent events `change`: names of models that changed, and types of what happened.

        `{"models": ["flights-delay"], "types": ["Promoted"]}`; the model `*` is any. Of the models that the caller may
        read. The stream ends with the token, with a change of roles, and with the gatekeeper; a browser then connects
        again by itself.
        """
        access: Access = request.app.state.access
        header = authorization_of(request)
        token = header.encode("latin-1") if header is not None else None
        listener = Listener(caller, lambda: access.known(token), _last(last_event_id) or since)
        site.live.open(listener)
        return LiveStream(site.live, listener)

    return router


def _last(event_id: str | None) -> datetime | None:
    """Return the time of the last message; None for what is no id of ours."""
    try:
        found = datetime.fromisoformat(event_id or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
