"""Who may do what over HTTP: the caller of a request, and what the roles permit them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter

from chassis.auth.failures import FailureLimit
from chassis.auth.identity import ANONYMOUS, Authenticator, Identity, Method, Unauthenticated
from chassis.auth.roles import OWN_ROLES, Action, Rule, needed, permitted, permitted_somewhere
from chassis.errors import Permanent, Transient
from chassis.http import Problem
from chassis.telemetry import get_logger

if TYPE_CHECKING:
    from chassis.service import Part
    from chassis.settings import ServiceSettings

FAILED = Counter("gauntlet_authentication_failures_total", "Requests without a valid token")
"""No label says why: metrics may be open, and a caller is not to learn it there either."""

log = get_logger(__name__)


class Access:
    """Authentication and roles of one service. `authenticator` None: authentication is off."""

    def __init__(
        self,
        authenticator: Authenticator | None,
        rules: Callable[[], Sequence[Rule]] = lambda: OWN_ROLES,
        *,
        parts: Sequence[Part] = (),
        details: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._rules = rules
        self.failures = FailureLimit()
        # Of its own: an issuer that is slow to send its keys must not hold the threads of other requests.
        self._threads = ThreadPoolExecutor(4, "authentication") if authenticator is not None else None
        self.parts = tuple(parts)
        self.details = details

    @property
    def on(self) -> bool:
        return self._authenticator is not None

    def known(self, authorization: bytes | None) -> Caller | None:
        """Return the caller if no work is needed: authentication is off, or the token was verified before."""
        if self._authenticator is None:
            return _ANONYMOUS
        if authorization is None or (identity := self._authenticator.known(authorization)) is None:
            return None
        return Caller(identity, self._rules())

    async def caller(self, authorization: bytes | None, address: str) -> Caller:
        """Return who sent a request, by its Authorization header and the address of the client.

        Raises Problem 401, the same one whatever is wrong with the token; 429 after too many failures from this
        address; Transient when an issuer's keys cannot be fetched.
        """
        if (known := self.known(authorization)) is not None:
            return known
        assert self._authenticator is not None
        if authorization is None:
            raise unauthenticated()
        if (seconds := self.failures.wait(address)) > 0:
            headers = {"Retry-After": str(math.ceil(seconds))}
            raise Problem(429, "too many attempts", "too many requests without a valid token", headers=headers)
        loop = asyncio.get_running_loop()
        try:
            identity = await loop.run_in_executor(self._threads, self._authenticator.identify, authorization)
        except Unauthenticated as error:
            self.failures.count(address)
            FAILED.inc()
            log.warning("not authenticated", address=address, reason=str(error))
            raise unauthenticated() from None
        except Transient as error:
            log.warning("cannot authenticate", reason=str(error))
            raise Problem(
                503, "try again later", "tokens cannot be verified now", headers={"Retry-After": "5"}
            ) from None
        return Caller(identity, self._rules())


class Caller:
    """Who sent a request, and what they may do under the rules of that moment."""

    __slots__ = ("identity", "rules")

    def __init__(self, identity: Identity, rules: Sequence[Rule]) -> None:
        self.identity = identity
        self.rules = rules

    @property
    def authenticated(self) -> bool:
        """False while authentication is off."""
        return self.identity.method is not Method.OFF

    def may(self, action: Action, model: str | None) -> bool:
        """Whether they may perform the action on this model; None: on all models."""
        return permitted(self.rules, self.identity, action, model) is None

    def sees(self, model: str) -> bool:
        """Whether they may read of this model. Who may not is to learn as much as if there were no such model."""
        return self.may(Action.READ, model)

    def visible(self, models: Iterable[str]) -> list[str] | None:
        """Return those of `models` that they may read; None when they may read all there are."""
        return None if self.may(Action.READ, None) else [model for model in models if self.sees(model)]

    def require(self, action: Action, model: str | None) -> None:
        """Raises Problem 403, the same one whether the model exists or not."""
        if (refused := permitted(self.rules, self.identity, action, model)) is not None:
            log.warning("not permitted", reason=refused.reason, action=action.value, model_name=model)
            raise Problem(403, "not permitted", needed(self.identity, action, model))

    def require_somewhere(self, action: Action) -> None:
        """Raises Problem 403 if they may perform the action on no model."""
        if (refused := permitted_somewhere(self.rules, self.identity, action)) is not None:
            log.warning("not permitted", reason=refused.reason, action=action.value)
            raise Problem(403, "not permitted", refused.reason)

    def actor(self, given: str | None, *place: str) -> str:
        """Return who decides: the token's subject; while authentication is off, what the request gives as `actor`.

        `place`: where it is given, such as `"body", "actor"`. Raises Problem 422 for an actor beside a token, and
        RequestValidationError for none without one.
        """
        where = place or ("body", "actor")
        if not self.authenticated:
            if given is None:
                error = {"type": "missing", "loc": where, "msg": "Field required", "input": None}
                raise RequestValidationError([error])
            return given
        if given is not None:
            detail = (
                f"{'.'.join(where)}: leave it out; who decides is who the token belongs to, {self.identity.subject}"
            )
            raise Problem(422, "invalid request", detail)
        return self.identity.subject


_ANONYMOUS = Caller(ANONYMOUS, ())


def unauthenticated() -> Problem:
    """Return the problem of every request without a valid token: it says nothing of what is wrong with it."""
    detail = "this needs a valid token: header Authorization: Bearer TOKEN"
    return Problem(401, "not authenticated", detail, headers={"WWW-Authenticate": "Bearer"})


def access_of(settings: ServiceSettings) -> Access:
    """Return what the settings AUTH and AUTH_* say. Raises Permanent if a file cannot be used."""
    if settings.auth == "off":
        return Access(None)
    from chassis.auth.roles_file import parse_roles
    from chassis.watched_file import WatchedFile

    parts: list[Part] = []
    rules: Callable[[], Sequence[Rule]] = lambda: OWN_ROLES  # noqa: E731
    shown: dict[str, Any] = {"method": settings.auth}
    looks: dict[str, Callable[[], dict[str, Any]]] = {}
    if settings.auth_roles_file is not None:
        roles = WatchedFile(settings.auth_roles_file, parse_roles, "roles")
        parts.append(roles)
        looks["roles"] = roles.details
        rules = lambda: roles.value  # noqa: E731
    authenticator: Authenticator
    if settings.auth == "tokens":
        from chassis.auth.tokens import FILE_NAME, TokenAuthenticator, parse_tokens

        path = settings.auth_tokens_file or settings.data_dir / FILE_NAME
        if not path.exists():
            raise Permanent(f"AUTH=tokens, and there is no {path}: `gauntlet token create NAME --role admin` makes it")
        tokens = WatchedFile(path, parse_tokens, "tokens")
        parts.append(tokens)
        looks["tokens"] = tokens.details
        authenticator = TokenAuthenticator(tokens)
    else:
        from chassis.auth.oidc import OidcAuthenticator

        assert settings.auth_oidc_issuer is not None
        assert settings.auth_oidc_audience is not None
        authenticator = OidcAuthenticator(
            settings.auth_oidc_issuer,
            settings.auth_oidc_audience,
            roles_claim=settings.auth_oidc_roles_claim,
            subject_claim=settings.auth_oidc_subject_claim,
        )
    details = lambda: shown | {name: look() for name, look in looks.items()}  # noqa: E731
    return Access(authenticator, rules, parts=parts, details=details)
