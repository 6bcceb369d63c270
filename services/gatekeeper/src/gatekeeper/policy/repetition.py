"""How soon a decision is published again after something else was written over it: at once, then ever more rarely.

Whoever overwrites it goes on, or is another gatekeeper that does not trust this one's key: neither may end in two
programs that write as fast as they can.
"""

from __future__ import annotations

FIRST_SECONDS = 0.5
"""Events of the same moment are on their way: one that is newer makes the repetition unnecessary."""
LONGEST_SECONDS = 60.0
QUIET_SECONDS = 600.0
"""After a time without repetition as long as this, the next one is the first again."""


def wait_before(repeats: int) -> float:
    """Return the seconds before a decision is published again that was published again `repeats` times of late."""
    return min(FIRST_SECONDS * 2.0 ** min(repeats, 30), LONGEST_SECONDS)


def counted(repeats: int, quiet_seconds: float) -> int:
    """Return how many repetitions still count, `quiet_seconds` after the last."""
    return 0 if quiet_seconds >= QUIET_SECONDS else repeats
