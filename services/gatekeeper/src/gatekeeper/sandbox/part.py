"""The sandbox as a part of the service: warm before the first candidate, closed when the service stops."""

from __future__ import annotations

import asyncio

from chassis.telemetry import get_logger
from gatekeeper.sandbox.processes import SandboxBroken
from gatekeeper.sandbox.sandbox import Sandbox

log = get_logger(__name__)


class SandboxPart:
    """A Part. A sandbox that does not start is logged as an error; each candidate retries the start."""

    name = "sandbox"

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._warming = asyncio.create_task(self._warm_up(), name=self.name)

    async def stop(self) -> None:
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)
        await asyncio.to_thread(self._sandbox.close)

    async def _warm_up(self) -> None:
        try:
            await asyncio.to_thread(self._sandbox.warm_up)
        except (SandboxBroken, OSError) as error:
            log.error("the sandbox does not start", error=str(error))
