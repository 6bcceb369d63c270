"""What a replica does before its first model comes, so that the first promotion pays for no import.

A replica is ready without it: one that knows of no model answers nobody yet, and one that does is ready when its models
have been loaded, which waits for this.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable

from chassis.telemetry import get_logger
from chassis.warmup import preload

OWN = ("serving.loading.library_warmup", "serving.http.scoring_server", "forms.choosing", "forms.serialization")
"""Ours that import what models need."""

log = get_logger(__name__)


async def prepare(modules: Iterable[str], is_idle: Callable[[], Awaitable[bool]]) -> None:
    """Import `modules`, and try a small model where `is_idle`: otherwise the first that is loaded does as well."""
    await preload((*modules, *OWN))
    if await is_idle():
        try:
            await asyncio.to_thread(_rehearse)
        except Exception as error:  # an optimisation: models may load all the same
            log.warning("rehearsal failed, the first load will be slow", error=f"{type(error).__name__}: {error}")
    gc.collect()
    gc.freeze()  # a full collection would hold every request for a tenth of a second, to find the libraries alive


def _rehearse() -> None:
    from serving.loading.library_warmup import (
        warm_up_libraries,  # scikit-learn and MLflow: in this thread, not with the service
    )

    warm_up_libraries()
