"""Several worker processes behind one port: a supervisor starts, watches, replaces and stops them.

Each worker is a complete replica that accepts from the shared listening socket. If a worker dies, another accepts the
connections that wait there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import multiprocess
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.service import listen
from chassis.telemetry import configure_logging, get_logger
from chassis.waiting import set_within
from serving.settings import Settings
from serving.workers.swap_barrier import SwapBarrierServer

STOP_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
HEALTHY_SECONDS = 30.0
METRICS = "PROMETHEUS_MULTIPROC_DIR"

log = get_logger(__name__)


class Worker(BaseSettings):
    """Settings that a supervisor passes to its workers; not meant to be set by hand."""

    model_config = SettingsConfigDict(env_prefix="SERVING_WORKER_")

    listener: int | None = None
    """The inherited socket's file descriptor."""
    referee: Path | None = None
    replaces: bool = False
    """Other workers serve already: it accepts no request before it is ready."""


@dataclass
class Supervisor:
    settings: Settings
    folder: Path
    listener: int
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        server = await SwapBarrierServer().serve(self.folder / "referee")
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stopping.set)
        async with server:
            await asyncio.gather(*(self._keep(number) for number in range(self.settings.workers)))
        return 0

    async def _keep(self, number: int) -> None:
        """Run one worker after another, until shutdown."""
        pause, replaces = FIRST_PAUSE, False
        while not self.stopping.is_set():
            started = time.monotonic()
            process = await self._start(number, replaces=replaces)
            log.info("worker started", worker=number, pid=process.pid)
            ended = asyncio.create_task(process.wait())
            stopped = asyncio.create_task(self.stopping.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not ended.done():
                await self._end(process, ended)
                return
            multiprocess.mark_process_dead(process.pid, str(self.folder))  # type: ignore[no-untyped-call]
            pause = FIRST_PAUSE if time.monotonic() - started > HEALTHY_SECONDS else min(2 * pause, LONGEST_PAUSE)
            log.error("worker ended, starting another one", worker=number, code=process.returncode, seconds=pause)
            replaces = True
            await set_within(self.stopping, pause)

    async def _start(self, number: int, *, replaces: bool) -> asyncio.subprocess.Process:
        told = {
            "SERVING_WORKER_LISTENER": str(self.listener),
            "SERVING_WORKER_REFEREE": str(self.folder / "referee"),
            "SERVING_WORKER_REPLACES": str(replaces).lower(),
            "SERVING_REPLICA": f"{self.settings.replica}/{number}",
            METRICS: str(self.folder),
        }
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "serving"),
            env={**os.environ, **told},
            pass_fds=[self.listener],
            start_new_session=True,  # Ctrl-C must reach only the supervisor, which stops them in order
        )

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        """Send SIGTERM: the worker finishes requests in flight. Kill it if it does not exit in time."""
        process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
        except TimeoutError:
            log.error("worker did not exit in time, killed", pid=process.pid)
            process.kill()
            await ended


def supervise(settings: Settings) -> int:
    """Run the workers until SIGTERM or SIGINT. Returns the exit code; 1 for a port that is taken."""
    configure_logging("serving", settings.log_level, settings.log_format)
    listener = listen("serving", settings)
    if listener is None:
        return 1
    listener.listen(1024)
    with listener, tempfile.TemporaryDirectory(prefix="gauntlet-workers-") as folder:
        return asyncio.run(Supervisor(settings, Path(folder), listener.fileno()).run())
