"""Which requests are taken while the service is too far behind: a share of them, whole, chosen by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

LEAST_SHARE = 1 / 64
"""A sixty-fourth of a stream that is too fast for one process still fills windows."""


@dataclass(frozen=True)
class Pressure:
    """`share` of the requests that is taken; `since`: from when on it has been too far behind, or has caught up, in
    seconds on a monotonic clock."""

    share: float = 1.0
    behind: bool = False
    since: float = 0.0
    alert: bool = False
    """It has been too far behind for long."""


def next_pressure(now: Pressure, lag: float, allowed: timedelta, at: float, *, sample: bool) -> Pressure:
    """Return the pressure at `at`, when the stream is `lag` seconds behind.

    Too far behind for `allowed`: an alert, and half of the share; once more each time that `allowed` has passed. Not
    behind for as long: twice the share, until all is taken.
    """
    behind = lag > allowed.total_seconds()
    if behind != now.behind:
        return Pressure(now.share, behind, at, now.alert and behind)
    if at - now.since < allowed.total_seconds():
        return now
    if behind:
        return Pressure(max(LEAST_SHARE, now.share / 2) if sample else now.share, behind, at, alert=True)
    return Pressure(min(1.0, now.share * 2), behind, at)
