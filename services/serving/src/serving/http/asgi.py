"""HTTP handlers on the hot path: ordinary FastAPI routes, with a shortcut to them that bypasses the framework.

Its middlewares, dependency injection and Request objects cost more than parsing, predicting and writing the response.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from fastapi import APIRouter, Request
from prometheus_client import Counter, Gauge
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http import Problem, problem_response
from chassis.telemetry import get_logger
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.http.access import ModelCaller

T = TypeVar("T")

log = get_logger(__name__)

REQUESTS = Counter("gauntlet_serving_requests_total", "Requests for predictions", ["status"])
ANSWERED = REQUESTS.labels(200)
for status in (500, 503):  # at 0 from the start: the first failure is an increase
    REQUESTS.labels(status)
OPEN = Gauge("gauntlet_serving_bodies_in_progress", "Requests whose body is being received")

LONGEST_ID = 200
NAMELESS = re.compile(rb"[!-~]{1,%d}" % LONGEST_ID)


@dataclass(slots=True)
class RawRequest:
    """A request, read completely. Header names are lower case; `path` holds the route's path parameters."""

    path: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    request_id: str
    started: float
    caller: ModelCaller | None = None
    """Who sent it, with authentication."""

    def header(self, name: bytes) -> str:
        """Return a header's value; empty when it is missing."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class RawResponse:
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """In addition to content-length and x-request-id."""
    status: int = 200


JSON = (b"content-type", b"application/json")

Handler = Callable[[RawRequest], Awaitable[RawResponse]]


class BodyBudget:
    """A memory budget for all chunked bodies together; bodies of one chunk are bounded by how many may wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def take(self, size: int) -> None:
        """Reserve `size` bytes. Raises Problem 503 when they do not fit."""
        if self._taken + size > self._limit:
            detail = f"{self._taken:,} bytes of requests are held (SERVING_MAX_HELD_BYTES)"
            raise Problem(503, "too much load", detail, headers={"Retry-After": "1", "Connection": "close"})
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size


Shape = Callable[[Problem], Response]


class ModelEvicted(Exception):
    """Raised by a handler that cannot respond yet and has done nothing: call it again after `wait`.

    `wait` takes the start of the request, in seconds of `time.perf_counter`, and raises Problem when it took too long.
    """

    def __init__(self, wait: Callable[[float], Awaitable[None]]) -> None:
        self.wait = wait


async def retry_when_loaded(attempt: Callable[[], Awaitable[T]], evicted: ModelEvicted, started: float) -> T:
    """`predict` again, after it raised `evicted`, until it answers."""
    while True:
        await evicted.wait(started)
        try:
            return await attempt()
        except ModelEvicted as again:
            evicted = again


class AsgiEndpoint:
    """An ASGI endpoint: reads the body, sends the response. `shape` writes a Problem as the protocol prescribes."""

    def __init__(
        self, handler: Handler, settings: Settings, budget: BodyBudget, shape: Shape = problem_response
    ) -> None:
        self._handler = handler
        self._budget = budget
        self._limit = settings.max_body_bytes
        self._seconds = settings.body_seconds
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id, held = "", 0
        try:
            headers = dict(scope["headers"])
            request_id = _request_id(headers.get(b"x-request-id"))
            body, held = await self._body(scope, headers, receive)
            request = RawRequest(scope.get("path_params", {}), headers, body, request_id, started, scope.get("caller"))
            try:
                response = await self._handler(request)
            except ModelEvicted as evicted:
                response = await retry_when_loaded(partial(self._handler, request), evicted, started)
        except Problem as problem:
            await self._refuse(problem, request_id, scope, receive, send)
            return
        except Exception:
            log.exception("unexpected error", path=scope["path"], request_id=request_id)
            unexpected = Problem(500, "unexpected error", "see the log of this service")
            await self._refuse(unexpected, request_id, scope, receive, send)
            return
        finally:
            self._budget.give_back(held)
        (ANSWERED if response.status == 200 else REQUESTS.labels(response.status)).inc()
        sent = [
            *response.headers,
            (b"content-length", b"%d" % len(response.body)),
            (b"x-request-id", request_id.encode("latin-1")),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        await send({"type": "http.response.body", "body": response.body})

    async def _refuse(self, problem: Problem, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        REQUESTS.labels(problem.status).inc()
        if request_id:
            problem.extra.setdefault("request_id", request_id)
            problem.headers = (problem.headers or {}) | {"X-Request-ID": request_id}
        await self._shape(problem)(scope, receive, send)

    async def _body(self, _scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[bytes, int]:
        """Return the body and its size in the budget. Raises Problem once it is too large, too slow or encoded."""
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            shown = encoding.decode("latin-1")[:80]
            detail = f"header Content-Encoding is {shown!r}; send the body as it is"
            raise Problem(415, "unsupported encoding", detail)
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > self._limit:
            raise self._too_large()
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            return self._fitting(message.get("body", b"")), 0
        OPEN.inc()
        parts, held = bytearray(), 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    if message["type"] != "http.request":
                        raise Problem(400, "body incomplete", f"the client went away after {len(parts):,} bytes")
                    piece = message.get("body", b"")
                    self._budget.take(len(piece))
                    held += len(piece)
                    parts += piece
                    if len(parts) > self._limit:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        taken, held = held, 0
                        return bytes(parts), taken
                    message = await receive()
        except TimeoutError:
            detail = f"{len(parts):,} bytes came in {self._seconds:g} s (SERVING_BODY_SECONDS), and not the end"
            raise Problem(408, "body too slow", detail, headers={"Connection": "close"}) from None
        finally:
            self._budget.give_back(held)
            OPEN.dec()

    def _fitting(self, body: bytes) -> bytes:
        if len(body) > self._limit:
            raise self._too_large()
        return body

    def _too_large(self) -> Problem:
        detail = f"the body is over the limit of {self._limit:,} bytes (SERVING_MAX_BODY_BYTES): send fewer rows"
        return Problem(413, "body too large", detail)


class FastPathRouter:
    """Wraps the application: passes a POST to its lean endpoint, and everything else to the application."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, AsgiEndpoint]) -> None:
        """`routes`: path to endpoint; parameters in braces, as in `/models/{model_name}/predict`."""
        self._app = app
        self._exact = {path: asgi_endpoint for path, asgi_endpoint in routes.items() if "{" not in path}
        self._patterns = [
            (re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), asgi_endpoint)
            for path, asgi_endpoint in routes.items()
            if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            if (asgi_endpoint := self._exact.get(path)) is not None:
                return await asgi_endpoint(scope, receive, send)
            for pattern, asgi_endpoint in self._patterns:
                if (match := pattern.fullmatch(path)) is not None:
                    scope["path_params"] = match.groupdict()
                    return await asgi_endpoint(scope, receive, send)
        return await self._app(scope, receive, send)


def add_asgi_route(router: APIRouter, path: str, asgi_endpoint: AsgiEndpoint, text: str, **options: Any) -> None:
    """Add the endpoint as an ordinary route, too: for OpenAPI, for responses to other methods, and when mounted."""

    async def endpoint(request: Request) -> Response:
        return _AsResponse(asgi_endpoint)

    router.add_api_route(path, endpoint, methods=["POST"], description=text, **options)


class _AsResponse(Response):
    def __init__(self, asgi_endpoint: AsgiEndpoint) -> None:
        super().__init__()
        self._endpoint = asgi_endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)


def _request_id(given: bytes | None) -> str:
    if given is None:
        return uuid4().hex
    if not NAMELESS.fullmatch(given):
        expected = f"1 to {LONGEST_ID} printable ASCII characters without spaces"
        value = ascii(given.decode("latin-1"))[:80]
        error = {"field": "X-Request-ID", "value": value, "type": "string", "expected": expected}
        raise Problem(422, "invalid request id", f"header X-Request-ID is {value}; expected {expected}", errors=[error])
    return given.decode("latin-1")
