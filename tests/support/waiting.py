"""Waiting for something to become true, with a deadline instead of a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


SHORTEST, LONGEST, SHARE = 0.02, 0.25, 0.2
"""Of the pauses: what is probed each twentieth of a second spends a fifth of a core on being probed."""


def eventually(probe: Callable[[], T], timeout: float = 30.0, interval: float | None = None) -> T:
    """Call `probe` until it returns something true; an AssertionError counts as not yet. Returns what it returned.

    `interval`: seconds between the calls; without it they grow, to a fifth of the time that was waited. Raises
    AssertionError, with the last thing seen, after `timeout` seconds.
    """
    began = time.monotonic()
    while True:
        failure: AssertionError | None = None
        seen: T | None = None
        try:
            seen = probe()
            if seen:
                return seen
        except AssertionError as error:
            failure = error
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"not within {timeout:g} s; last seen: {failure or seen!r}") from failure
        time.sleep(min(max(SHORTEST, SHARE * waited), LONGEST) if interval is None else interval)
