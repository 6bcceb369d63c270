"""Where a tried version is called: it holds up nothing but itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from serving.inference.batcher import AdaptiveBatcher, PendingRequest
from serving.inference.model import LoadedModel, ModelFailed
from serving.loading.executor import LimitedExecutor
from serving.settings import Settings

T = TypeVar("T")


class NotInTime(ModelFailed):
    """The tried version had no time for the rows, or took too long."""


class Lane(AdaptiveBatcher):
    """Batches of one tried version, in threads of its own; of what is not compiled as many requests may wait as for a
    champion. A thread that hangs does not keep the process from exiting.

    Once a call is late, further ones fail at once, until it returns: otherwise each would wait for the deadline.
    """

    name = "lane"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._executor = LimitedExecutor("tried version", settings.predict_threads)
        self._running: dict[asyncio.Future[Any], float] = {}
        """The calls in threads, and when they began; seconds, monotonic."""
        self._count = lambda _requests: None  # the histogram is of requests that are answered

    def limit(self, seconds: float) -> None:
        """Set the deadline of the calls from here on."""
        self._seconds = seconds

    def _enqueue(self, model: LoadedModel, job: PendingRequest) -> None:
        self._check()
        super()._enqueue(model, job)

    async def run(self, work: Callable[[], T]) -> T:
        self._check()
        return await super().run(work)

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        running: asyncio.Future[T] = asyncio.ensure_future(self._executor.run(work))
        self._running[running] = time.monotonic()
        running.add_done_callback(self._running.pop)
        return asyncio.shield(running)  # who stops waiting does not end the call

    def _check(self) -> None:
        if self._running:
            seconds = time.monotonic() - min(self._running.values())
            if seconds > self._seconds:
                raise NotInTime(f"a call of it is running for {seconds:.1f} s, of {self._seconds:g} s that it may take")

    def _too_much(self) -> Exception:
        return NotInTime(f"{self._taken} requests wait for it already (SERVING_MAX_WAITING)")

    def _too_slow(self) -> Exception:
        return NotInTime(f"no prediction within {self._seconds:g} s")
