"""Runs the blocking steps of a load in threads: limited in time, and given up when something else is to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from chassis.errors import Permanent, Transient
from serving.loading.executor import LimitedExecutor
from serving.loading.model_state import ModelState

IsStillNext = Callable[[], bool]
"""Whether the policy would return the action that is being carried out."""
Failed = Callable[[str, bool], None]
"""Takes the reason, and whether it is permanent."""


async def unless_overtaken(state: ModelState, is_still_next: IsStillNext, work: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `work`; return False when the state changed meanwhile so that something else is next.

    Raises what `work` raises.
    """
    working = asyncio.create_task(work)
    try:
        while True:
            changed = asyncio.create_task(state.changed.wait())
            await asyncio.wait({working, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if state.changed.is_set():
                state.changed.clear()
                if not is_still_next():
                    return False
            if working.done():
                working.result()
                return True
    finally:
        working.cancel()


class Steps:
    def __init__(self, seconds: float) -> None:
        """`seconds`: the limit of each step."""
        self._seconds = seconds

    async def run(
        self,
        state: ModelState,
        is_still_next: IsStillNext,
        executor: LimitedExecutor,
        work: Callable[[], Any],
        failed: Failed,
    ) -> Any:
        """Return what `work` returns in a thread; None when it failed, or was given up for something else."""
        found: list[Any] = []
        limit = asyncio.timeout(self._seconds)

        async def limited() -> None:
            async with limit:
                found.append(await executor.run(work))

        try:
            if await unless_overtaken(state, is_still_next, limited()):
                return found[0]
        except (Transient, OSError, MemoryError) as error:
            late = f"no end after {self._seconds:g} s (SERVING_STEP_SECONDS)"
            failed(late if limit.expired() else str(error) or type(error).__name__, False)
        except Permanent as error:
            failed(str(error), True)
        except Exception as error:  # a client library's own, such as one that is not installed
            failed(f"{type(error).__name__}: {error}", True)
        return None
