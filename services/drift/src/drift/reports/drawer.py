"""The process that draws, from the service's side: started when a drawing is wanted, limited, ended when idle."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypedDict

from chassis.background import Periodic
from chassis.errors import GauntletError, Transient
from chassis.processes.launcher import Process, start
from chassis.processes.messages import received, send
from chassis.settings import MEBIBYTE
from drift.reports.page import Drawing
from drift.settings import Settings

IDLE = timedelta(seconds=60)
LOOK_SECONDS = 0.1
LARGEST_PAGE = 256 * MEBIBYTE
QUIET = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""A drawing is not urgent: it takes one core."""


class Order(TypedDict):
    """A window to draw: by the rule of `drift_share`, None: by budget; and where its rows and its reference are."""

    window: str
    drift_share: float | None
    entity: str | None
    database: str
    mlflow: str
    references: str
    most_rows: int


class DrawingFailed(GauntletError):
    """There is no drawing, for this reason. The next one is made by a new process."""


class ProcessEnded(DrawingFailed):
    """The process has ended, and why."""


class Drawer(Periodic):
    """A Part. Its process draws one window at a time and ends with the service, in whatever way that ends."""

    name = "drawer"
    waits = failed = "the process that draws was not ended"

    def __init__(self, settings: Settings, database: str, references: str, idle: timedelta = IDLE) -> None:
        super().__init__(idle / 4)
        self._settings = settings
        self._database, self._references = database, references
        self._idle = idle
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._socket: socket.socket | None = None
        self._used = 0.0

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None else None

    def draw(
        self, window: str, drift_share: float | None, entity: str | None, cancelled: threading.Event | None = None
    ) -> Drawing:
        """Draw, within the settings' time and memory. Raises DrawingFailed; Transient when it may work later."""
        order = Order(
            window=window,
            drift_share=drift_share,
            entity=entity,
            database=self._database,
            mlflow=self._settings.mlflow_tracking_uri,
            references=self._references,
            most_rows=self._settings.report_rows,
        )
        with self._lock:
            try:
                answer = self._answer(order, cancelled or threading.Event())
            except BaseException:
                self._end()
                raise
            self._used = time.monotonic()
        if "error" in answer:
            raise Transient(answer["error"]) if answer["transient"] else DrawingFailed(answer["error"])
        return Drawing(answer["page"], answer["note"])

    def once(self) -> None:
        """End a process that nothing was drawn with for a while; its memory is worth more than its next start."""
        if self._lock.acquire(blocking=False):
            try:
                if self._process is not None and time.monotonic() - self._used > self._idle.total_seconds():
                    self._end()
            finally:
                self._lock.release()

    async def stop(self) -> None:
        await super().stop()
        with self._lock:
            self._end()

    def _answer(self, order: Order, cancelled: threading.Event) -> dict[str, Any]:
        if self._process is not None:
            with suppress(ProcessEnded):  # since the drawing before, which is not this window's fault
                return self._ask(order, cancelled)
            self._end()
        self._start()
        return self._ask(order, cancelled)

    def _ask(self, order: Order, cancelled: threading.Event) -> dict[str, Any]:
        assert self._socket is not None
        deadline = time.monotonic() + self._settings.report_seconds
        self._socket.settimeout(self._settings.report_seconds)
        try:
            send(self._socket, json.dumps(order).encode())
            while not select.select([self._socket], [], [], LOOK_SECONDS)[0]:
                if cancelled.is_set():
                    raise Transient("the service ends")
                if time.monotonic() > deadline:
                    raise TimeoutError
            found: dict[str, Any] = json.loads(received(self._socket, LARGEST_PAGE))
        except TimeoutError as error:
            raise DrawingFailed(f"it took longer than {self._settings.report_seconds:g} s") from error
        except OverflowError as error:
            raise DrawingFailed(f"the page has {error} bytes, more than {LARGEST_PAGE}") from error
        except (EOFError, OSError) as error:
            raise ProcessEnded(f"the process that draws {self._ending()}") from error
        return found

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        arguments = [
            str(theirs.fileno()),
            str(self._settings.report_memory_mb * MEBIBYTE),
            self._settings.log_level,
            self._settings.log_format,
        ]
        try:
            with theirs:
                self._process = start(
                    [sys.executable, "-P", "-m", "drift.reports.drawing_process", *arguments],
                    env={**os.environ, **QUIET},
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    dies_with_client=True,
                )
        except OSError as error:
            ours.close()
            raise Transient(f"the process that draws cannot be started: {error}") from error
        self._socket = ours

    def _ending(self) -> str:
        """Return how the process ended that has closed its socket."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0)
            if code == -signal.SIGKILL:
                return "was killed by signal 9: the machine may have too little memory"
            return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return "closed its socket"

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None
