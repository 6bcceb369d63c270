"""The outer side of the sandbox: starts it, ends it, and validates all of its output."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from chassis.telemetry import get_logger
from gatekeeper.sandbox import results
from gatekeeper.sandbox.compiled_form import CompilationReport
from gatekeeper.sandbox.exchange import read_form, read_permuted, read_probe, write_request
from gatekeeper.sandbox.isolation import Isolation
from gatekeeper.sandbox.probe import Limits, Probe, Request
from gatekeeper.sandbox.processes import Cancelled, Ended, SandboxBroken, SandboxForkServer
from gatekeeper.sandbox.protocol import FACTS
from gatekeeper.sandbox.workspace import Workspace

T = TypeVar("T")
Read = Callable[[Path, "Request", Ended], T]

log = get_logger(__name__)


class Sandbox:
    """Runs probes, one at a time, below `root`. Safe to use from several threads; starts with the first probe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._home: Workspace | None = None
        self._template: SandboxForkServer | None = None

    def probe(self, request: Request, cancelled: threading.Event) -> Probe:
        """Load a model in a separate process and collect its predictions. Raises Cancelled or SandboxBroken."""
        probe, isolation = self._asked(request, cancelled, read_probe)
        return replace(probe, isolation=isolation.as_json())

    def form(
        self, request: Request, tolerance: float, cancelled: threading.Event
    ) -> tuple[CompilationReport, bytes | None]:
        """Load a model in another process, and check its compiled form on its features.

        Also returns the compiled model as that process wrote it, for serving; it is never opened here.

        A second process, so that neither the time and memory of this nor its end count against the candidate.
        Raises as `probe`.
        """
        return self._asked(replace(request, form_tolerance=tolerance), cancelled, partial(read_form, tolerance))[0]

    def permuted(self, request: Request, cancelled: threading.Event) -> tuple[dict[int, NDArray[Any]], str | None]:
        """Load a model in another process, and collect its predictions with each column permuted.

        Returns them by number of the column, and why some are missing. Raises as `probe`.
        """
        return self._asked(request, cancelled, read_permuted)[0]

    def _asked(self, request: Request, cancelled: threading.Event, read: Read[T]) -> tuple[T, Isolation]:
        with self._lock:
            try:
                return self._run_one(request, cancelled, read)
            except OSError as error:  # no space, no memory for another process, …
                raise SandboxBroken(f"the sandbox cannot work: {error}") from error

    def warm_up(self) -> None:
        """Start the fork server now, so that the first candidate does not wait for it."""
        with self._lock:
            self._ready()

    def close(self) -> None:
        with self._lock:
            self._discard()
            if self._home is not None:
                self._home.close()
                self._home = None

    def _run_one(self, request: Request, cancelled: threading.Event, read: Read[T]) -> tuple[T, Isolation]:
        template, home = self._ready()
        scratch = Path(tempfile.mkdtemp(prefix="probe-", dir=home.path))
        try:
            write_request(scratch, request)
            ended = self._run(template, scratch, request.limits, cancelled)
            return read(scratch, request, ended), template.isolation
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _ready(self) -> tuple[SandboxForkServer, Workspace]:
        if self._home is None:
            self._home = Workspace(self._root)
        if self._template is None:
            self._template = SandboxForkServer(self._home.path)
            _say(self._template.isolation)
        return self._template, self._home

    def _run(self, template: SandboxForkServer, scratch: Path, limits: Limits, cancelled: threading.Event) -> Ended:
        try:
            return template.run(scratch, limits.seconds, limits.disk_mb * 1024**2, cancelled)
        except Cancelled:
            self._discard()
            raise
        except (SandboxBroken, OSError) as error:  # the fork server is gone: its end of the socket may be reset
            self._discard()
            if results.facts(scratch / FACTS):  # it was alive when the candidate began
                return Ended("killed the process that watches it", str(error))
            raise

    def _discard(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


def _say(isolation: Isolation) -> None:
    if isolation.gaps:
        log.warning("candidates are not isolated as they should be", **isolation.as_json())
    else:
        log.info("candidates are isolated", **isolation.as_json())
