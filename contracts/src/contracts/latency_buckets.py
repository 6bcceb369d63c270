"""Buckets of latencies, four to a doubling: fixed, so that histograms of replicas and restarts can be added."""

from __future__ import annotations

import math

FIRST_MS = 0.01
PER_DOUBLING = 4
LAST = 95
"""Bucket of everything above about 2 minutes."""


def bucket_of(milliseconds: float) -> int:
    """Return the number of the bucket, 0 to LAST, whose `upper_ms` is the first that is not below `milliseconds`."""
    if milliseconds <= FIRST_MS:
        return 0
    return min(LAST, math.ceil(PER_DOUBLING * math.log2(milliseconds / FIRST_MS) - 1e-9))


def upper_ms(bucket: int) -> float:
    """Return the largest latency of a bucket, milliseconds; infinite for the last one."""
    return math.inf if bucket >= LAST else FIRST_MS * 2 ** (bucket / PER_DOUBLING)
