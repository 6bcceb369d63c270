"""One request: sent, repeated where that does no harm, and its response read or raised as an error."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import ValidationError

from contracts.redelivery import backoff_seconds
from gauntlet_client.errors import BY_STATUS, ClientError, ServiceError, Unreachable
from gauntlet_client.steps import Call, Pause, Response, Send, Steps

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_RETRY_AFTER = 5.0
HINTS = {
    401: "No valid token was presented: it is missing, was revoked, has expired, or is for another stack. Set"
    " GAUNTLET_TOKEN, or give token=.",
    403: "Another token, or a rule in AUTH_ROLES_FILE, grants more; `gauntlet whoami` shows the roles.",
    503: "The service is not ready or too busy: try again in a moment.",
}


def ask(call: Call[T]) -> Steps[T]:
    """Do a request. Raises Unreachable, ServiceError, or ClientError for a response that cannot be read."""
    attempt = 0
    while True:
        attempt += 1
        try:
            response: Response = yield Send(call)
        except Unreachable as error:
            if attempt >= ATTEMPTS or (error.sent and not call.safe):
                raise
            yield Pause(backoff_seconds(attempt))
            continue
        if response.status == 503 and (call.safe or call.busy) and attempt < ATTEMPTS:
            yield Pause(_retry_after(response) or backoff_seconds(attempt))
            continue
        return _read(call, response)


def _read(call: Call[T], response: Response) -> T:
    at = f"{call.method} {call.path} of {call.part}"
    try:
        body = json.loads(response.content)
    except ValueError as error:
        raise ClientError(
            f"{at} responded {response.status} with something that is not JSON",
            f"Is that really the {call.part} of Gauntlet? It begins: {response.content[:80]!r}",
        ) from error
    if not 200 <= response.status < 300:
        raise refusal(call.part, response.status, body)
    try:
        return call.read(body)
    except (ValidationError, KeyError, TypeError) as error:
        raise ClientError(
            f"{at} responded with what this client cannot read: {error}",
            "Client and service are of different versions: install the client of the service's version.",
        ) from error


def refusal(part: str, status: int, body: Any) -> ServiceError:
    """Return the error for a response that is no success."""
    problem = body if isinstance(body, dict) else {}
    kind = BY_STATUS.get(status, ServiceError)
    hint = HINTS.get(status, f"Its log says why: {part}" if status >= 500 else None)
    error = kind("", hint, status, problem)
    error.message = f"{error.title}: {error.detail}" if error.detail else error.title
    return error


def _retry_after(response: Response) -> float | None:
    try:
        return min(float(response.headers["retry-after"]), LONGEST_RETRY_AFTER)
    except (KeyError, ValueError):
        return None
