"""Authentication on the hot path: the caller of a lean endpoint, and which models they may use.

With AUTH=off none of this is on the path: the endpoints are plain ones (`build_endpoint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope

from chassis.auth.access import Access, Caller
from chassis.auth.roles import Action
from serving.http.asgi import AsgiEndpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chassis.auth.identity import Identity
    from chassis.auth.roles import Rule

MOST = 10_000


class Permits:
    """Models that callers were found to may use for one action; rules are evaluated again once they are others."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self._granted: dict[tuple[Identity, str], Sequence[Rule]] = {}

    def require(self, caller: Caller, model_name: str) -> None:
        """Raises Problem 403 for a model that the caller may not use."""
        key = (caller.identity, model_name)
        if self._granted.get(key) is caller.rules:
            return
        caller.require(self.action, model_name)
        while len(self._granted) >= MOST:
            del self._granted[next(iter(self._granted))]
        self._granted[key] = caller.rules


class ModelCaller:
    """Who sent a request, for the action of its endpoint."""

    __slots__ = ("_caller", "_permits")

    def __init__(self, caller: Caller, permits: Permits) -> None:
        self._caller = caller
        self._permits = permits

    def require(self, model_name: str) -> None:
        """Raises Problem 403 for a model that they may not use, served or not."""
        self._permits.require(self._caller, model_name)

    def may(self, model_name: str) -> bool:
        return self._caller.may(self._permits.action, model_name)


class GuardedEndpoint(AsgiEndpoint):
    """An endpoint that admits callers with a valid token; the handler looks at the model."""

    def __init__(self, access: Access, action: Action, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._access = access
        self._permits = Permits(action)

    async def _body(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[bytes, int]:
        """The same, once the caller is known: a stranger's body takes no memory."""
        authorization = headers.get(b"authorization")
        caller = self._access.known(authorization)
        if caller is None:
            client = scope.get("client")
            caller = await self._access.caller(authorization, client[0] if client else "")
        scope["caller"] = ModelCaller(caller, self._permits)
        return await super()._body(scope, headers, receive)
