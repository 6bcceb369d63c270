"""Buckets of equal ratio: fixed, so that histograms of replicas and restarts can be added."""

from __future__ import annotations

import math
from typing import NamedTuple


class LogBuckets(NamedTuple):
    """Bucket 0 ends at `first`, each further one at 2^(1/per_doubling) times that; `last` is of everything above."""

    first: float
    per_doubling: int
    last: int

    def of(self, value: float) -> int:
        """Return the number of the bucket, 0 to `last`, whose `upper` is the first that is not below `value`."""
        if value <= self.first:
            return 0
        return min(self.last, math.ceil(self.per_doubling * math.log2(value / self.first) - 1e-9))

    def upper(self, bucket: int) -> float:
        """Return the largest value of a bucket; infinite for the last one."""
        return math.inf if bucket >= self.last else self.first * 2.0 ** (bucket / self.per_doubling)
