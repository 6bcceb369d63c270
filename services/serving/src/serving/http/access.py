"""Authentication on the hot path: the caller of a lean endpoint, and which models they may use.

With AUTH=off none of this is on the path: the endpoints are plain ones (`routes.endpoints`).
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

MOST_CALLERS, MOST_MODELS = 10_000, 1_000


class Permits:
    """What callers were found to be permitted, for one action; it is looked at again once the rules are others.

    By the object of their identity, which is one as long as their token is known: hashing its fields costs more than
    the rest.
    """

    def __init__(self, action: Action) -> None:
        self.action = action
        self._found: dict[int, tuple[Identity, Sequence[Rule], set[str]]] = {}

    def admit(self, caller: Caller) -> ModelCaller:
        """Return the caller with the models that they were found to be permitted.

        Raises Problem 403 for who may perform the action on no model.
        """
        identity = caller.identity
        found = self._found.get(id(identity))
        if found is None or found[0] is not identity or found[1] is not caller.rules:
            caller.require_somewhere(self.action)
            while len(self._found) >= MOST_CALLERS:
                del self._found[next(iter(self._found))]
            found = self._found[id(identity)] = (identity, caller.rules, set())
        return ModelCaller(caller, self.action, found[2])


class ModelCaller:
    """Who sent a request, for the action of its endpoint."""

    __slots__ = ("_action", "_caller", "_granted")

    def __init__(self, caller: Caller, action: Action, granted: set[str]) -> None:
        self._caller = caller
        self._action = action
        self._granted = granted

    def require(self, model_name: str) -> None:
        """Raises Problem 403 for a model that they may not use, served or not."""
        if model_name in self._granted:
            return
        self._caller.require(self._action, model_name)
        if len(self._granted) < MOST_MODELS:
            self._granted.add(model_name)

    def may(self, model_name: str) -> bool:
        return self._caller.may(self._action, model_name)


class GuardedEndpoint(AsgiEndpoint):
    """An endpoint that admits who may use a model; the handler looks at the one that a body names."""

    def __init__(self, access: Access, action: Action, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._access = access
        self._permits = Permits(action)

    async def _body(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[bytes, int]:
        """The same, once the caller is admitted: a stranger's body takes no memory."""
        authorization = headers.get(b"authorization")
        caller = self._access.known(authorization)
        if caller is None:
            client = scope.get("client")
            caller = await self._access.caller(authorization, client[0] if client else "")
        scope["caller"] = admitted = self._permits.admit(caller)
        in_path = scope.get("path_params", {}).get("model_name")
        if in_path is not None:
            admitted.require(in_path)
        return await super()._body(scope, headers, receive)
