"""What becomes of an event whose handling failed: tried again after a pause, or given up on."""

from __future__ import annotations

import random

from contracts.errors import Permanent, Transient

UNEXPECTED_ATTEMPTS = 5
"""After this many attempts an error that is neither Transient nor Permanent is treated as permanent."""
LONGEST_BACKOFF = 5.0


def given_up(error: Exception, attempt: int) -> bool:
    """Return whether attempt number `attempt` was the last one.

    Permanent and ValueError end it at once, since the input is wrong. Transient never does. Any other error is a
    defect, or comes from a library: it must neither be lost nor block for ever.
    """
    if isinstance(error, Transient):
        return False
    return isinstance(error, Permanent | ValueError) or attempt >= UNEXPECTED_ATTEMPTS


def backoff_seconds(attempt: int) -> float:
    """Return how long to wait after so many attempts, with jitter."""
    return min(0.05 * 2.0**attempt, LONGEST_BACKOFF) * random.uniform(0.5, 1.0)


def error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
