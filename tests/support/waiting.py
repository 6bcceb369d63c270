"""Waiting for something to become true, with a deadline instead of a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], timeout: float = 30.0, interval: float = 0.05) -> T:
    """Call `probe` until it returns something true; an AssertionError counts as not yet. Returns what it returned.

    Raises AssertionError, with the last thing seen, after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        seen: T | None = None
        try:
            seen = probe()
            if seen:
                return seen
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s; last seen: {failure or seen!r}") from failure
        time.sleep(interval)
