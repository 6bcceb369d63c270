"""Judges of rollouts as other systems have them, on the same units: returns promoted, stopped or kept, and when.

All see the accuracy, and judges of canaries the error rate, of both arms.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from benchmarks.rollout_streams import Floats, Stream

Judged = tuple[Literal["promoted", "stopped", "kept"], int]
Z = 1.645
"""One-sided, 5 %."""
INTERVALS = 50
"""Measurements of a canary's metrics; Flagger's and Argo's examples have 5 to 50 of a minute, Kayenta needs 50."""


def peeked_z(z: Floats) -> Judged:
    """Promote or stop at the first look at which a z-test of 5 % is significant: a test of fixed size, peeked at."""
    found = np.flatnonzero(np.abs(z) > Z)
    if not len(found):
        return "kept", len(z) - 1
    return "promoted" if z[found[0]] > 0 else "stopped", int(found[0])


def paired_z(units: Stream, least: int = 100) -> Floats:
    n = np.maximum(1, np.arange(units.loss.shape[1] + 1))
    mean, squares = units.pairs["d"] / n, units.pairs["d2"] / n
    z: Floats = mean / np.sqrt(np.maximum(1e-12, squares - mean**2) / n)
    return np.where(n >= least, z, 0.0)


def intervals(units: Stream) -> list[tuple[Floats, Floats]]:
    """Return accuracy and error rate of either arm in each interval, arrays of INTERVALS."""
    edges = np.linspace(0, units.loss.shape[1], INTERVALS + 1).astype(int)
    found = []
    for sums in units.totals:
        n = np.maximum(1, np.diff(sums["units"][edges]))
        found.append((1 - np.diff(sums["loss"][edges]) / n, np.diff(sums["errors"][edges]) / n))
    return found


def thresholds(units: Stream, accuracy: float, success: float = 0.99, most_failed: int = 5) -> Judged:
    """Judge by fixed thresholds, as Argo Rollouts (successCondition, failureLimit) and Flagger (thresholdRange) do.

    Each interval's success rate must be at least 99 %, as in Flagger's documentation, and the accuracy at least the
    threshold; the fifth failed check rolls back, the end of all intervals promotes.
    """
    _, (right, failed) = intervals(units)
    bad = np.flatnonzero((1 - failed < success) | (right < accuracy))
    size = units.loss.shape[1] // INTERVALS
    if len(bad) >= most_failed:
        return "stopped", int(bad[most_failed - 1] + 1) * size
    return "promoted", units.loss.shape[1]


def kayenta(units: Stream) -> Judged:
    """Judge by Mann–Whitney intervals of 98 %, as the judge of Kayenta (NetflixACAJudge) with its defaults does.

    A metric fails when the interval of the shift lies beyond a quarter of its estimate, in its harmful direction. Both
    metrics are critical. The judgement is at the end, of all intervals.
    """
    (right0, failed0), (right1, failed1) = intervals(units)
    worse = _shift_is_positive(right0, right1) or _shift_is_positive(failed1, failed0)
    return "stopped" if worse else "promoted", units.loss.shape[1]


def _shift_is_positive(one: Floats, other: Floats) -> bool:
    """Return whether the lower bound of the Hodges–Lehmann shift exceeds a quarter of it (normal approximation)."""
    shifts = np.sort(np.subtract.outer(one, other), axis=None)
    n = len(one)
    below = n * n / 2 - 2.326 * np.sqrt(n * n * (2 * n + 1) / 12)
    return bool(shifts[int(below)] > 0.25 * abs(float(np.median(shifts))))
