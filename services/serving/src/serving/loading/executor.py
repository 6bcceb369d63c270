"""Run blocking steps in daemon threads, a few at a time; a caller may abandon one.

A pool's thread would keep the process from exiting while it waits for a download that hangs; these do not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class LimitedExecutor:
    """Runs at most `limit` blocking calls at a time. An abandoned call keeps its slot until it returns."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._places = asyncio.Semaphore(limit)

    async def run(self, work: Callable[[], T]) -> T:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            self._places.release()
            if result.done():
                return  # the caller has stopped waiting
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

        def request() -> None:
            value: T | None = None
            failure: BaseException | None = None
            try:
                value = work()
            except BaseException as error:  # passed on to the caller
                failure = error
            try:
                loop.call_soon_threadsafe(settle, value, failure)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        threading.Thread(target=request, name=self._name, daemon=True).start()
        return await result
