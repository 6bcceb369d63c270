"""Imports modules ahead of their first use, so that no request has to wait for an import."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable

from chassis.telemetry import get_logger

log = get_logger(__name__)


async def preload(modules: Iterable[str]) -> None:
    """Import modules in a thread, one after another. A failure is only logged: the code that needs it will raise."""
    for module in modules:  # one call each: a service that stops waits for one import at most
        await asyncio.to_thread(_import, module)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        log.warning("cannot preload", module=module, error=f"{type(error).__name__}: {error}")


class Warmup:
    """A Part, the last one: imports `modules` in the background as soon as the service has started.

    For modules too expensive to import before `/ready`, and too slow to import in the first request.
    """

    name = "warm-up"

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._importing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._importing = asyncio.create_task(preload(self._modules), name=self.name)

    async def stop(self) -> None:
        if self._importing is not None:
            self._importing.cancel()
            await asyncio.gather(self._importing, return_exceptions=True)
