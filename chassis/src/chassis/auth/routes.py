"""Routes that declare what they do: their Action, who it concerns, and the caller.

    router = guarded_router(tags=["reading"])

    @router.get("/models/{model_name}", openapi_extra=allowed(Action.READ))        # on the model of the path
    @router.get("/models", openapi_extra=allowed(Action.READ, Scope.EACH))         # the handler looks at each model
    def list_models(caller: CallerOf) -> …: [… for name in names if caller.sees(name)]

The declaration is what OpenAPI shows, and what is enforced, before the body is read. `build_app` refuses to start with
a route that declares none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from chassis.auth.access import Access, Caller
from chassis.auth.browser import SAFE, is_json, unsupported
from chassis.auth.roles import Action

ACTION = "x-gauntlet-action"
SCOPE = "x-gauntlet-scope"
MODEL_PARAMETERS = ("model_name", "name")
"""Parameters of paths that name a model."""
TOKEN_SCHEME = "token"


class Scope(StrEnum):
    """What a role must hold for."""

    MODEL = "model"
    """The model that the path names."""
    EACH = "each"
    """Any model: the handler itself looks at each that it reads or changes (`Caller.sees`, `Caller.require`)."""
    ALL = "all"
    """All models (`*`)."""


def allowed(action: Action, scope: Scope = Scope.MODEL) -> dict[str, Any]:
    """Return the declaration of a route, for its `openapi_extra`."""
    declared: dict[str, Any] = {ACTION: action.value}
    if action in (Action.OPEN, Action.IDENTIFY):
        return declared if action is Action.OPEN else declared | {"security": [{TOKEN_SCHEME: []}]}
    return declared | {SCOPE: scope.value, "security": [{TOKEN_SCHEME: []}]}


class GuardedRoute(APIRoute):
    """A route that admits who may perform its action. Raises TypeError without a declaration."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        declared = options.get("openapi_extra") or {}
        if ACTION not in declared:
            raise TypeError(f"route {path} declares no action: openapi_extra=allowed(Action.…)")
        self.action = Action(declared[ACTION])
        self.scope = Scope(declared.get(SCOPE, Scope.EACH))
        self.model = next((name for name in MODEL_PARAMETERS if f"{{{name}}}" in path), None)
        if self.scope is Scope.MODEL and self.model is None:
            raise TypeError(f"route {path} names no model: declare Scope.EACH or Scope.ALL")
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            if self.action is not Action.OPEN:
                request.state.caller = await self._admit(request)
            if self.body_field is not None and request.method not in SAFE:
                self.require_media_type(request)
            return await handler(request)

        return admitted

    def authorization(self, request: Request) -> str | None:
        """Return the Authorization of a request: its header, and nothing that a browser would add by itself."""
        return request.headers.get("authorization")

    def require_media_type(self, request: Request) -> None:
        """Raises Problem 415 for a body that the route does not take."""
        _require_json(request)

    async def _admit(self, request: Request) -> Caller:
        caller = await identified(request, self.authorization(request))
        if self.scope is Scope.MODEL and self.model is not None:
            caller.require(self.action, request.path_params[self.model])
        elif self.scope is Scope.ALL:
            caller.require(self.action, None)
        else:
            caller.require_somewhere(self.action)
        return caller


def _require_json(request: Request) -> None:
    """Raises Problem 415 for a body that is not declared as JSON; without a body, validation says what is missing."""
    media_type = request.headers.get("content-type")
    empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    if not (is_json(media_type.encode("latin-1")) if media_type else empty):
        raise unsupported(media_type.encode("latin-1") if media_type else None)


async def identified(request: Request, authorization: str | None = None) -> Caller:
    """Return the caller of a request; `authorization`: default: its header. Raises what `Access.caller` raises."""
    access: Access = request.app.state.access
    header = authorization or request.headers.get("authorization")
    address = request.client.host if request.client else ""
    return await access.caller(header.encode("latin-1") if header is not None else None, address)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
"""The parameter of a handler that receives the caller."""


def guarded_router(**options: Any) -> APIRouter:
    """Return a router whose routes must declare their action."""
    return APIRouter(route_class=GuardedRoute, **options)


def require_declarations(router: APIRouter) -> None:
    """Raises TypeError for a route of `router` that declares no action, or that OpenAPI would not show."""
    for route in router.routes:
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"route {getattr(route, 'path', route)} declares no action: use chassis.auth.routes")
        if not route.include_in_schema:
            raise TypeError(f"route {route.path} is not in the OpenAPI document: nobody could see who may use it")


def describe_security(app: FastAPI) -> None:
    """Add the tokens to the OpenAPI document, so that its page can send one."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes[TOKEN_SCHEME] = {"type": "http", "scheme": "bearer", "description": "Unless AUTH=off"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
