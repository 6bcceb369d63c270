"""Keeps one part running: restarts it when it has ended or hangs, with a wait that grows the more often it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gauntlet.components import Part

LOOK_SECONDS = 0.1
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 15.0
LIVENESS_EVERY_SECONDS = 5.0
MISSES = 3
"""Checks in a row without a response, after which a part is restarted: a busy machine may miss one."""
SETTLED_SECONDS = 60.0  # after running that long, waits start from the first again


class Supervisor:
    """Supervises a part started elsewhere, between `watch` and `release`."""

    def __init__(
        self, part: Part, on_change: Callable[[str, str], None], every: float = LIVENESS_EVERY_SECONDS
    ) -> None:
        """`every`: seconds between two checks whether the part hangs."""
        self.part = part
        self._every = every
        self.restarts = 0
        self._on_change = on_change
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Begin to watch; return at once."""
        self._released.clear()
        self._thread = threading.Thread(target=self._run, name=f"keeper-{self.part.name}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop watching: the part is not restarted after this."""
        self._released.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        wait, since = FIRST_WAIT_SECONDS, time.monotonic()
        misses, check_at = 0, since + self._every
        while not self._released.wait(LOOK_SECONDS):
            how = self.part.ended()
            if how is None and time.monotonic() >= check_at:
                misses = misses + 1 if self.part.hangs() else 0
                check_at = time.monotonic() + self._every
                if misses == MISSES and self.part.ended() is None:
                    how = f"hangs: no response to {MISSES} checks in a row"
            elif how is not None:
                how = f"ended ({how})"
            if how is None:
                continue
            misses = 0
            if time.monotonic() - since > SETTLED_SECONDS:
                wait = FIRST_WAIT_SECONDS
            self.part.stop(timeout=0.0)  # leftover processes, such as a job's
            self._on_change(self.part.name, f"{how}; starting it again in {wait:g} s, log {self.part.log}")
            if self._released.wait(wait):
                return
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            self._start_again()
            since = time.monotonic()

    def _start_again(self) -> None:
        try:
            self.part.start()
        except Exception as error:  # whatever prevents the start, the next round retries
            self._on_change(self.part.name, f"could not be started: {error}")
            return
        self.restarts += 1
        self._on_change(self.part.name, f"started again as pid {self.part.pid} (restart {self.restarts})")
