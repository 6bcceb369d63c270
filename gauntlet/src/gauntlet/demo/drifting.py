"""Sends window after window of rows until the drift service announces a drift, or has judged enough of them."""

from __future__ import annotations

import math
import time
from typing import Any

import httpx

from contracts import DriftDetected, Envelope
from gauntlet.demo.checks import StepFailed
from gauntlet.demo.journal import version_is
from gauntlet.demo.play import Play
from gauntlet.demo.traffic import BURST, STEADY, until
from gauntlet.service_client import ServiceError

KNOWN_SECONDS = 30.0
WINDOW_SECONDS = 120.0
LABEL_SECONDS = 15.0
POLL_SECONDS = 0.2


class DriftWatch:
    """Watches one version over the drift service's HTTP API and the bus."""

    def __init__(self, play: Play, version: int) -> None:
        self._play = play
        self._version = version
        self._path = f"/models/{play.model_name}"
        self._drift = play.site.service("drift")

    def await_drift(self, most_windows: int) -> Envelope[DriftDetected] | None:
        """Send a window's rows at once, then at users' pace until it is judged; None after so many without drift."""
        until(self._is_known, KNOWN_SECONDS, f"the drift service's knowing v{self._version} as champion")
        size = self._drift.get(self._path)["rules"]["window_rows"]
        for window in range(1, most_windows + 1):
            self._play.say(f"{window * size:,} rows are on their way")
            self._play.traffic.pace = BURST
            self._play.traffic.await_rows(window * size + BURST.rows, WINDOW_SECONDS)
            self._play.traffic.pace = STEADY
            self._play.say("waiting for the drift service")
            if self._is_announced_by(window):
                return self._play.journal.wait(
                    DriftDetected, seconds=KNOWN_SECONDS, what="DriftDetected", where=self._decides
                )
        return None

    def _decides(self, found: Envelope[Any]) -> bool:
        """Whether it is a drift that leads to a training: signals of predictions and of estimates come, too."""
        return version_is(self._version)(found) and bool(found.data.decides)

    def judged(self) -> list[dict[str, Any]]:
        """Return the judged windows, oldest first."""
        return _judged(self._windows())

    def _is_announced_by(self, window: int) -> bool:
        """Return whether a drift was announced by the time this window (counted from 1) was judged.

        Its performance is awaited only for a while: labels mature by a delay that has to be measured first.
        """
        deadline = time.monotonic() + WINDOW_SECONDS
        patience = math.inf
        while True:
            windows = self._windows()
            if any(one["data"]["event_id"] or one["performance"]["event_id"] for one in windows):
                return True
            if len(_judged(windows)) >= window:
                patience = min(patience, time.monotonic() + LABEL_SECONDS)
                if len(_fully_judged(windows)) >= window or time.monotonic() > patience:
                    return False
            if time.monotonic() > deadline:
                seen = (
                    ", ".join(f"window {one['number']} {one['state']} {one['progress']}" for one in windows) or "none"
                )
                raise StepFailed(f"window {window} was not judged within {WINDOW_SECONDS:g} s; windows: {seen}")
            time.sleep(POLL_SECONDS)

    def _is_known(self) -> bool:
        try:
            champion = self._drift.get(self._path)["champion"]
        except ServiceError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return bool(champion) and champion["model_version"] == self._version

    def _windows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._drift.get(f"{self._path}/windows", version=self._version)
        return found


def _judged(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = [one for one in windows if one["data"]["outcome"]]
    return sorted(done, key=lambda one: int(one["number"]))


def _fully_judged(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in _judged(windows) if one["performance"]["outcome"]]
