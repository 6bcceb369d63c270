"""Buckets of latencies, four to a doubling: fixed, so that histograms of replicas and restarts can be added."""

from __future__ import annotations

from contracts.log_buckets import LogBuckets

FIRST_MS = 0.01
PER_DOUBLING = 4
LAST = 95
"""Bucket of everything above about 2 minutes."""

_BUCKETS = LogBuckets(FIRST_MS, PER_DOUBLING, LAST)


def bucket_of(milliseconds: float) -> int:
    """Return the number of the bucket, 0 to LAST, whose `upper_ms` is the first that is not below `milliseconds`."""
    return _BUCKETS.of(milliseconds)


def upper_ms(bucket: int) -> float:
    """Return the largest latency of a bucket, milliseconds; infinite for the last one."""
    return _BUCKETS.upper(bucket)
