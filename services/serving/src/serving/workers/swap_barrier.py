"""Workers of one replica swap together: each reports when a version is warm, and none serves it before all can.

So do they begin the steps of a rollout. The supervisor coordinates over a Unix socket, one JSON object a line:
`{"model", "order"}` from a worker that is ready (or has given up), the same from the supervisor when all are. It does
not wait for a worker that died.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from chassis.telemetry import get_logger

log = get_logger(__name__)


class SwapBarrierServer:
    """The supervisor's side. Uses only names, of models or their rollouts, and the order of what comes for each."""

    def __init__(self) -> None:
        self._ready: dict[asyncio.StreamWriter, dict[str, int]] = {}
        self._granted: dict[str, int] = {}

    async def serve(self, path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._follow, str(path))

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ready[writer] = {}
        try:
            for model, order in self._granted.items():
                _send(writer, model, order)
            while line := await reader.readline():
                said = json.loads(line)
                mine = self._ready[writer]
                mine[said["model"]] = max(mine.get(said["model"], 0), said["order"])
                self._grant(said["model"])
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            models = set(self._ready.pop(writer))
            for model in models.union(*self._ready.values()):
                self._grant(model)
            writer.close()

    def _grant(self, model: str) -> None:
        """Send the highest order that every worker has reached."""
        order = min((ready.get(model, 0) for ready in self._ready.values()), default=0)
        if order > self._granted.get(model, 0):
            self._granted[model] = order
            for writer in self._ready:
                _send(writer, model, order)


class SwapBarrier:
    """A worker's side; a Part. Ends the process when the supervisor is gone: nothing else would stop it."""

    name = "agreement"

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._granted: dict[str, int] = {}
        self._news = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        self._listening = asyncio.create_task(self._listen(reader), name="agreement")

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._writer is not None:
            self._writer.close()

    def ready(self, name: str, order: int) -> None:
        """Report that this worker can serve what has this `order`, or has given up on it."""
        if self._writer is not None:
            _send(self._writer, name, order)

    async def reached(self, name: str, order: int) -> None:
        """Wait until every worker is ready for `order` or a later one, or until the timeout."""
        self.ready(name, order)
        try:
            async with asyncio.timeout(self._seconds), self._news:
                await self._news.wait_for(lambda: self._granted.get(name, 0) >= order)
        except TimeoutError:
            log.warning("another worker is not ready, begun without it", of=name, waited=self._seconds)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            said = json.loads(line)
            async with self._news:
                self._granted[said["model"]] = said["order"]
                self._news.notify_all()
        log.error("the supervisor is gone, this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)


def _send(writer: asyncio.StreamWriter, model: str, order: int) -> None:
    writer.write(json.dumps({"model": model, "order": order}).encode() + b"\n")
