"""When labels are mature: by the delay that was measured, as far as it can be known yet.

Delays are right-truncated: after a day of operation no delay of more than a day can have been seen (S. Lagakos, L.
Barraj and V. De Gruttola, "Nonparametric analysis of truncated survival data", Biometrika 75, 1988). So a measured
delay counts only after a longer observation, and only when next to no row of that age still waits for its label, or
the operator's own limit has passed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from contracts.durations import about
from contracts.event import Value
from contracts.log_buckets import LogBuckets

BUCKETS = LogBuckets(first=1.0, per_doubling=4, last=108)
"""Of seconds; the last one is of everything above 4 years."""
QUANTILE = 0.99
ENOUGH = 200
"""Labels, for a 99th percentile that is not one of the two largest values."""
SPAN = 2.0
"""How many times the estimate the observation must have lasted."""
COVERED = 0.99
"""Share of the rows older than the estimate that must have their label, before the setting's time has passed."""


class Delays(Value):
    """How long labels took: a histogram that can be added to and merged. `since`: when observation began."""

    since: datetime
    counts: dict[str, int] = Field(default_factory=dict)
    """Labels by the number of their bucket."""

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> timedelta | None:
        """Return the upper edge of the bucket with the quantile, at most 19 % above it; None without labels."""
        wanted, seen = share * self.n, 0
        for bucket in sorted(map(int, self.counts)):
            seen += self.counts[str(bucket)]
            if seen >= wanted:
                edge = BUCKETS.upper(bucket)
                return timedelta(seconds=edge if math.isfinite(edge) else BUCKETS.upper(BUCKETS.last - 1))
        return None


@dataclass(frozen=True)
class Maturity:
    """From which age on a prediction's label is expected to be there."""

    after: timedelta
    source: str
    """policy, measured or setting."""
    reason: str


def with_delays(before: Delays | None, seconds: Sequence[float], now: datetime) -> Delays:
    """Add delays from prediction to label; a label that was sent before its prediction took no time.

    The observation began when the earliest labelled prediction was made, at the latest.
    """
    counts = Counter({int(bucket): count for bucket, count in before.counts.items()} if before else {})
    counts.update(BUCKETS.of(each) for each in seconds)
    longest = max([0.0, *seconds])
    since = now - timedelta(seconds=min(longest, BUCKETS.upper(BUCKETS.last - 1)))
    return Delays(
        since=min(since, before.since) if before else since,
        counts={str(bucket): counts[bucket] for bucket in sorted(counts)},
    )


def maturity(
    of_policy: timedelta, setting: timedelta, delays: Delays | None, covered: float | None, now: datetime
) -> Maturity:
    """Return the maturity of a model's labels.

    `of_policy`: label_maturity, 0 where the policy states none; `setting`: DRIFT_LABEL_MATURITY. `covered`: of the
    rows that are older than the 99th percentile of `delays`, the share that has a label; None: there are none.
    """
    if of_policy > timedelta(0):
        return Maturity(of_policy, "policy", f"label_maturity of the policy: {_words(of_policy)}")
    estimate = delays.quantile(QUANTILE) if delays else None
    if delays is None or estimate is None:
        return Maturity(setting, "setting", f"DRIFT_LABEL_MATURITY, {_words(setting)}: no label has come")
    measured = f"99 % of {delays.n:,} labels came within {_words(estimate)}"
    span = now - delays.since
    why = None
    if delays.n < ENOUGH:
        why = f"fewer than {ENOUGH} labels are too few for an estimate"
    elif span < SPAN * estimate:
        why = f"{_words(span)} of observation cannot have shown longer delays"
    elif span < setting and (covered is None or covered < COVERED):
        without = "no row is so old" if covered is None else f"{100 * (1 - covered):.2g} % of the older rows have none"
        why = f"but {without}, and later labels cannot be excluded after {_words(span)} of observation"
    if why is None:
        return Maturity(estimate, "measured", f"measured: {measured}")
    # What has been seen is a lower limit.
    return Maturity(
        max(setting, estimate), "setting", f"DRIFT_LABEL_MATURITY, {_words(setting)}, at least: {measured}; {why}"
    )


def is_due(rows: int, labelled: int, waited: timedelta, after: timedelta) -> bool:
    """Return whether the performance of a complete window can be judged: all of its rows are mature, or labelled.

    `waited`: since its last row arrived.
    """
    return labelled >= rows or waited >= after


def no_label(after: timedelta) -> str:
    return f"no label came within {_words(after)} of the predictions: performance cannot be judged"


def _words(length: timedelta) -> str:
    return about(length.total_seconds())
