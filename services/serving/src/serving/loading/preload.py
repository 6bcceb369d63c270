"""Imports before the first model arrives, so that the first promotion does not wait for them.

A replica is ready without it: one without a desired version serves no requests yet, and one with desired versions is
ready when they are loaded, which waits for this.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable

from chassis.telemetry import get_logger
from chassis.warmup import preload

OWN = ("serving.loading.library_warmup", "serving.http.scoring_server", "forms.choosing", "forms.serialization")
"""Modules of this project that import what models need."""

log = get_logger(__name__)


async def prepare(modules: Iterable[str], is_idle: Callable[[], Awaitable[bool]]) -> None:
    """Import `modules`, and load a small model if `is_idle`: otherwise the first real one has the same effect."""
    await preload((*modules, *OWN))
    if await is_idle():
        try:
            await asyncio.to_thread(_rehearse)
        except Exception as error:  # only an optimisation: models may still load
            log.warning("library warm-up failed, the first load will be slow", error=f"{type(error).__name__}: {error}")
    gc.collect()
    gc.freeze()  # a full collection would delay every request by a tenth of a second, only to find the libraries alive


def _rehearse() -> None:
    from serving.loading.library_warmup import (
        warm_up_libraries,  # scikit-learn and MLflow: in this thread, not with the service
    )

    warm_up_libraries()
