"""When a message that was not taken is sent again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

FIRST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
MOST_ATTEMPTS = 14
"""With the pauses below: given up after about 6 hours."""
SPREAD = 0.2
"""Share by which pauses differ, so that what failed together is not sent again together."""


def pause_after(message_id: str, attempts: int) -> timedelta:
    """Return how long to wait after so many attempts (1 or more): 5 s, doubled each time, an hour at most.

    The same for the same message and attempt: spread by its id, not by chance.
    """
    doubled = FIRST * int(2 ** min(attempts - 1, 20))
    digest = sha256(f"{message_id} {attempts}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return min(doubled, LONGEST) * (1 - SPREAD / 2 + SPREAD * share)


def is_given_up(attempts: int, since: int = 0) -> bool:
    """Whether no more attempt follows; `since`: the attempts before a person had it sent again."""
    return attempts - since >= MOST_ATTEMPTS
