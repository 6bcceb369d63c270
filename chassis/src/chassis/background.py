"""Parts that work in the background: one task, from the start of the service to its end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta

from chassis.errors import Transient
from chassis.telemetry import get_logger

log = get_logger(__name__)


class Background(ABC):
    """A Part whose `_run` is cancelled when the service stops."""

    name: str
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    async def _run(self) -> None: ...


class Periodic(Background):
    """A Part that calls `once` in a thread, at its start and then after each pause; a failure is logged."""

    waits: str
    """What is logged when something is unavailable."""
    failed: str
    """What is logged for any other error: it must not prevent the next round."""

    def __init__(self, pause: timedelta) -> None:
        self._pause = pause

    @abstractmethod
    def once(self) -> object: ...

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.once)
            except Transient as error:
                log.warning(self.waits, error=str(error))
            except Exception:
                log.exception(self.failed)
            await asyncio.sleep(self._pause.total_seconds())
