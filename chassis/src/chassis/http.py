"""HTTP errors as RFC 9457 problem details: the error, the offending value, the remedy."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from chassis.errors import NotFound, Permanent, Transient
from chassis.telemetry import get_logger

MEDIA_TYPE = "application/problem+json"
STATUSES = {
    404: "What the path or a parameter names does not exist",
    409: "The present state does not allow it; the detail says why",
    413: "The body is too large",
    429: "Too many at once, or too many attempts; the detail says when to retry",
    503: "A dependency (database, MLflow, Kafka) is unavailable; retry later",
}

log = get_logger(__name__)


class Problem(Exception):
    """Raise to respond with a problem. `extra` members are added to the body unchanged."""

    def __init__(
        self, status: int, title: str, detail: str = "", *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail or title)
        self.status, self.title, self.detail, self.headers, self.extra = status, title, detail, headers, extra


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems an endpoint may return (for `responses=`)."""
    schema = {"type": "object", "required": ["type", "title", "status", "detail"]}
    return {
        status: {"description": STATUSES[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def problem_response(problem: Problem) -> Response:
    body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    return Response(orjson.dumps(body | problem.extra), problem.status, problem.headers, MEDIA_TYPE)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that an exception of a handler stands for; None for a defect."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            errors = [
                {
                    "field": ".".join(str(step) for step in item["loc"]),
                    "value": _shown(item.get("input")),
                    "expected": item["msg"],
                }
                for item in error.errors()
            ]
            detail = "; ".join(f"{item['field']}: {item['expected']} (got {item['value']})" for item in errors[:5])
            return Problem(422, "invalid request", detail, errors=errors)
        case HTTPException():
            return Problem(error.status_code, str(error.detail), str(error.detail), headers=_plain(error.headers))
        case NotFound():
            return Problem(404, "not found", str(error))
        case Permanent():
            return Problem(422, "cannot be done", str(error))
        case Transient():
            return Problem(503, "try again later", str(error), headers={"Retry-After": "2"})
        case _:
            return None


def answer_with_problems(app: FastAPI) -> None:
    """Turn every error of `app` into a problem response; none shows a traceback."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(NotFound)
    @app.exception_handler(Permanent)
    @app.exception_handler(Transient)
    async def _known(_request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        assert problem is not None
        return problem_response(problem)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {request.url.path}" if error.status_code in (404, 405) else str(error.detail)
        return problem_response(Problem(error.status_code, str(error.detail), detail, headers=_plain(error.headers)))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.exception("unexpected error", path=request.url.path)
        return problem_response(Problem(500, "unexpected error", "see the log of this service"))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(headers: Any) -> dict[str, str] | None:
    return dict(headers) if headers else None
