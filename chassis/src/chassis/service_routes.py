"""The endpoints that every service has: health, readiness, metrics, and whose token a request carries."""

from __future__ import annotations

import os
import shutil
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest, multiprocess

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router, identified
from chassis.http import Problem

PASSED = Gauge(
    "gauntlet_check_passed",
    "Whether a check of /ready passes, at the time of the scrape (0: the service is not ready)",
    ["check"],
    multiprocess_mode="mostrecent",
)
FREE = Gauge("gauntlet_disk_free_bytes", "What is free on the disk that holds DATA_DIR", multiprocess_mode="mostrecent")
SIZE = Gauge("gauntlet_disk_size_bytes", "Size of the disk that holds DATA_DIR", multiprocess_mode="mostrecent")

START = "start"
"""The check that passes once all parts have started."""


def service_router(
    name: str,
    failing: Callable[[], Awaitable[dict[str, str]]],
    details: Mapping[str, Callable[[], Any]],
    *,
    checks: Iterable[str],
    data_dir: Path,
    metrics_open: bool,
) -> APIRouter:
    """`failing`: which of `checks` fail, with the reason. `details`: what /ready shows besides, by name."""
    router = guarded_router(tags=["service"])

    @router.get("/health", openapi_extra=allowed(Action.OPEN))
    async def health() -> dict[str, Any]:  # on the event loop: requests that hold all threads do not stop it
        """The process runs."""
        return {"status": "alive", "service": name, "pid": os.getpid()}

    @router.get(
        "/ready",
        responses={503: {"description": "Not ready; `failing` says why"}},
        openapi_extra=allowed(Action.OPEN),
    )
    async def ready(request: Request) -> JSONResponse:
        """The service has started and every check of a dependency passes.

        With authentication, reasons and details are shown to who may read all models.
        """
        found = await failing()
        status = 200 if not found else 503
        body: dict[str, Any] = {"status": "ready" if not found else "not ready", "service": name}
        if not await _reads_all(request):
            return JSONResponse(body | {"failing": dict.fromkeys(found, "unavailable")}, status)
        more = {part: shown() for part, shown in details.items()}
        return JSONResponse(body | {"failing": found, **more}, status)

    on_metrics = allowed(Action.OPEN) if metrics_open else allowed(Action.READ, Scope.ALL)

    @router.get("/metrics", response_class=PlainTextResponse, openapi_extra=on_metrics)
    async def metrics() -> PlainTextResponse:
        """The metrics, in Prometheus' text format. Readiness is among them, checked now."""
        found = await failing()
        for check in (START, *checks):
            PASSED.labels(check).set(check not in found)
        return await to_thread(_exposition, data_dir)

    @router.get("/whoami", openapi_extra=allowed(Action.IDENTIFY))
    async def whoami(caller: CallerOf) -> dict[str, Any]:
        """Whose token this is, how that was proved (off, token or oidc), its roles, and the models that it is for."""
        known = caller.identity
        return {
            "subject": known.subject,
            "method": known.method,
            "roles": list(known.roles),
            "models": list(known.models),
        }

    return router


def _exposition(data_dir: Path) -> PlainTextResponse:
    folder = data_dir.resolve()
    disk = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists()))
    FREE.set(disk.free)
    SIZE.set(disk.total)
    return PlainTextResponse(generate_latest(_metrics()), media_type=CONTENT_TYPE_LATEST)


def _metrics() -> CollectorRegistry:
    """Return the metrics of all processes behind this port, if the Prometheus client is set up for several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


async def _reads_all(request: Request) -> bool:
    """Whether the caller may read all models; a stranger, or a token that cannot be verified now, may not."""
    try:
        return (await identified(request)).may(Action.READ, None)
    except Problem:
        return False
