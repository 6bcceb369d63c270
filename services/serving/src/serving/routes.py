"""The HTTP side: predictions, and which models answer them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from prometheus_client import Counter, Gauge, Histogram
from starlette.requests import ClientDisconnect

from chassis.http import Problem
from serving.loader import Loader
from serving.predictor import Answer, Predictor
from serving.publisher import Publisher
from serving.settings import Settings
from serving.slots import Slot

REQUESTS = Counter("gauntlet_serving_requests_total", "Requests for predictions", ["status"])
LATENCY = Histogram(
    "gauntlet_serving_request_seconds",
    "From the request's first byte to its answer",
    ["model_name"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
IN_PROGRESS = Gauge("gauntlet_serving_requests_in_progress", "Requests that are computed or wait for a thread")
LONGEST_ID = 200
ALIASES = {"production": "champion", "staging": "challenger"}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "model": {"type": "string", "description": "May be left out when one model is served"},
                        "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    },
                }
            }
        },
    },
    "parameters": [
        {"name": "X-Request-ID", "in": "header", "schema": {"type": "string"}, "description": "Default: a new one"}
    ],
}


class Desk:
    """A Part: threads that compute answers, and a bounded number of requests that wait for one."""

    name = "desk"

    def __init__(self, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(settings.predict_threads, thread_name_prefix="predict")
        self._limit = settings.predict_threads + settings.max_waiting
        self._taken = 0

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, predictor: Predictor, *request: Any) -> Answer:
        if self._taken >= self._limit:
            detail = f"{self._taken} requests are being answered (SERVING_MAX_WAITING)"
            raise Problem(503, "too much load", detail, headers={"Retry-After": "1"})
        self._taken += 1
        IN_PROGRESS.set(self._taken)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, predictor.answer, *request)
        finally:
            self._taken -= 1
            IN_PROGRESS.set(self._taken)


def build_router(loader: Loader, publisher: Publisher, desk: Desk, settings: Settings) -> APIRouter:
    router = APIRouter()
    predictor = Predictor(loader, settings)

    async def answer(request: Request, model_name: str | None) -> Response:
        started = time.perf_counter()
        request_id = ""
        try:
            request_id = _request_id(request)
            body = await _read(request, settings.max_body_bytes)
            answer = await desk.run(predictor, model_name, body, request_id)
        except Problem as problem:
            REQUESTS.labels(problem.status).inc()
            if request_id:
                problem.extra["request_id"] = request_id
                problem.headers = (problem.headers or {}) | {"X-Request-ID": request_id}
            raise
        seconds = time.perf_counter() - started
        REQUESTS.labels(200).inc()
        LATENCY.labels(answer.answered.model_name).observe(seconds)
        publisher.offer(dataclasses.replace(answer.answered, latency_ms=seconds * 1000))
        return Response(answer.body, media_type="application/json", headers={"X-Request-ID": request_id})

    @router.post("/predict", tags=["predict"], openapi_extra=BODY)
    async def predict(request: Request) -> Response:
        """Answer rows with the version that is in charge."""
        return await answer(request, None)

    @router.post("/models/{model_name}/predict", tags=["predict"], openapi_extra=BODY)
    async def predict_with(model_name: str, request: Request) -> Response:
        """The same, of one model."""
        return await answer(request, model_name)

    @router.get("/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """What answers here, since when, and what could not be loaded."""
        return {
            "role": settings.role,
            "replica": settings.replica,
            "models": [_about(slot, settings) for slot in loader.slots()],
        }

    return router


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id")
    if given is None:
        return uuid4().hex
    if not given or len(given) > LONGEST_ID or not all(" " < letter <= "~" for letter in given):
        expected = f"1 to {LONGEST_ID} printable ASCII characters without spaces"
        error = {"field": "X-Request-ID", "value": ascii(given)[:80], "type": "string", "expected": expected}
        detail = f"header X-Request-ID is {error['value']}; expected {expected}"
        raise Problem(422, "invalid request id", detail, errors=[error])
    return given


async def _read(request: Request, limit: int) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Problem(
            415, "unsupported encoding", f"header Content-Encoding is {encoding[:80]!r}; send the body as it is"
        )
    too_large = Problem(
        413,
        "body too large",
        f"the body is over the limit of {limit:,} bytes (SERVING_MAX_BODY_BYTES): send fewer rows",
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        raise Problem(400, "body incomplete", f"the client went away after {size:,} bytes") from None
    return b"".join(parts)


def _about(slot: Slot, settings: Settings) -> dict[str, Any]:
    desired, answering, failure = slot.desired, slot.answering, slot.failure
    return {
        "model_name": slot.model_name,
        "model_version": answering.wanted.artifact.model_version if answering else None,
        "alias": ALIASES[settings.role],
        "epoch": answering.wanted.epoch if answering else None,
        "artifact_digest": answering.wanted.artifact.digest if answering else None,
        "since": answering.since.isoformat() if answering else None,
        "role": settings.role,
        "desired_version": desired.artifact.model_version if desired else None,
        "desired_epoch": desired.epoch if desired else None,
        "resident_versions": [artifact.model_version for artifact in slot.resident],
        "last_failure": {
            "model_version": failure.wanted.artifact.model_version,
            "epoch": failure.wanted.epoch,
            "reason": failure.reason,
            "attempts": failure.attempts,
            "will_retry": not failure.permanent,
            "time": failure.time.isoformat(),
        }
        if failure
        else None,
    }
