"""What the client raises: what happened, with which value, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.errors import GauntletError, Transient


class ClientError(GauntletError):
    """`message` states what happened, with which value; `hint` what to do, where there is something."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Unreachable(ClientError, Transient):
    """No service, or no Kafka, at the address. `sent`: whether the request may have arrived all the same."""

    def __init__(self, message: str, hint: str | None = None, *, sent: bool = False) -> None:
        super().__init__(message, hint)
        self.sent = sent


class ServiceError(ClientError):
    """A service responded with an error (RFC 9457): its `status`, `title`, `detail`, and the whole `problem`."""

    def __init__(self, message: str, hint: str | None, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(message, hint)
        self.status, self.problem = status, problem
        self.title = str(problem.get("title") or problem.get("error_code") or f"HTTP {status}")
        self.detail = str(problem.get("detail") or problem.get("message") or "")


class NotFound(ServiceError):
    """404: what the path names does not exist."""


class AccessDenied(ServiceError):
    """401 or 403: no valid token, or one that does not allow this."""


class Conflict(ServiceError):
    """409: the present state does not allow it; the detail says why."""


class Invalid(ServiceError):
    """400, 413, 415 or 422: the request is wrong; `problem["errors"]` has each field, where there are several."""


class Unavailable(ServiceError, Transient):
    """503: not ready, or too busy; try again later."""


class WaitTimeout(ClientError):
    """What was waited for has not come in time; `waits_for` says what it waits for."""

    def __init__(self, message: str, hint: str, waits_for: str) -> None:
        super().__init__(message, hint)
        self.waits_for = waits_for


BY_STATUS: dict[int, type[ServiceError]] = {
    400: Invalid,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    503: Unavailable,
}
