"""Limits of the distances of a window, calibrated so that a window without drift is seldom beyond any of them.

A signal is one distance of one column, such as its share of missing values. `scores` are those of windows without
drift: one row a window, one column a signal; NaN where a window does not have it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.float64]

IID, WINDOWS = "iid", "windows"
"""What limits assume: that rows are independent, or that windows to come are like past ones."""
SOME_WINDOWS, ENOUGH_WINDOWS, MOST_WINDOWS = 5, 40, 200
"""Past windows that widen the limits of row splits; that are preferred; that are kept at most."""
FEWEST_SPLITS, MOST_SPLITS = 400, 2000
LARGEST_FACTOR = 2.0
"""Of the factor for normally distributed scores: a single incident among few past windows must not blind all limits."""
INCIDENT = 10.0
"""Robust standard deviations from the median of past windows from which one of them is an incident, of many windows."""
SHARE_OF_FLOOR = 1 / 3
"""Of a signal's lowest limit: the least standard deviation that it is divided by."""


@dataclass(frozen=True)
class Limits:
    """Of each signal: the mean without drift, and the value from which it has drifted."""

    expected: Floats
    limit: Floats
    factor: float
    """Standard deviations between the two."""


def fewest_windows(share: float) -> int:
    """Return how many windows without drift a limit needs that a share of such windows, as small as this, exceeds."""
    return math.ceil(1 / share - 1e-9) - 1


def splits_for(share: float) -> int:
    return min(MOST_SPLITS, max(FEWEST_SPLITS, math.ceil(2 / share)))


def windows_kept(share: float) -> int:
    return min(MOST_WINDOWS, max(ENOUGH_WINDOWS, 2 * fewest_windows(share)))


def stage(windows: int, share: float) -> int:
    """Return how many of the past windows limits are calibrated on: they change at these numbers, and then never.

    Limits that followed each new window would follow slow drift, too.
    """
    least = max(fewest_windows(share), SOME_WINDOWS)
    steps = {0, SOME_WINDOWS, 2 * SOME_WINDOWS, least, windows_kept(share)}
    return max(step for step in steps if step <= windows)


def calibrate(scores: Floats, share: float, floors: Floats) -> Limits:
    """Return limits of which a window like these exceeds at least one with probability `share`.

    limit = m + c·s: mean and standard deviation of the signal, and c the ⌈(1 − share)(K + 1)⌉-th smallest of the K
    windows' greatest deviations, each by the mean and the standard deviation of the other windows. `floors`: the lowest
    limit of each signal. Raises ValueError for fewer windows than `fewest_windows`.
    """
    windows = len(scores)
    rank = math.ceil((1 - share) * (windows + 1) - 1e-9)
    if rank > windows:
        raise ValueError(
            f"{windows} windows do not show what 1 in {1 / share:.0f} exceeds: at least {fewest_windows(share)}"
        )
    mean, deviation = _moments(scores, floors)
    factor = float(np.sort(_greatest_deviations(scores, floors))[rank - 1])
    return Limits(mean, np.maximum(mean + factor * deviation, floors), factor)


def calibrate_on_windows(scores: Floats, share: float, floors: Floats) -> Limits:
    """Return limits from past windows: as `calibrate`, but one incident among them does not raise every limit.

    With fewer windows than `share` needs, the factor is that of normally distributed scores: the quantile of Student's
    t for one more window, by Bonferroni over the signals.
    """
    windows, signals = scores.shape
    quantile = float(stats.t.ppf(1 - share / max(1, signals), windows - 1)) * math.sqrt(1 + 1 / windows)
    if windows < fewest_windows(share):
        mean, deviation = _moments(scores, floors)
        return Limits(mean, np.maximum(mean + quantile * deviation, floors), quantile)
    found = calibrate(scores, share, floors)
    if found.factor <= LARGEST_FACTOR * quantile:
        return found
    mean, deviation = _moments(scores, floors)
    factor = LARGEST_FACTOR * quantile
    return Limits(mean, np.maximum(mean + factor * deviation, floors), factor)


def ordinary(scores: Floats, spread: Floats) -> NDArray[np.bool_]:
    """Return which windows are like most of the others, (K,): the others, with an incident, must not widen the limits.

    An incident has a signal far above the median of the windows, in standard deviations by the median absolute
    deviation; the fewer windows, the farther, because that of a few may be small by chance. `spread`: the least
    standard deviation of each signal, such as that of row splits. Where half of the windows were incidents or more,
    there is no telling which are ordinary: all are.
    """
    if not len(scores):
        return np.zeros(0, dtype=np.bool_)
    some = np.isfinite(scores).any(axis=0)
    known = scores[:, some]
    median = np.nanmedian(known, axis=0)
    deviation = np.nanmedian(np.abs(known - median), axis=0) / stats.norm.ppf(0.75)
    least = np.maximum(np.nan_to_num(spread[some], nan=0.0), np.finfo(np.float64).tiny)
    away = np.nan_to_num((known - median) / np.maximum(deviation, least), nan=0.0)
    found: NDArray[np.bool_] = away.max(axis=1, initial=0.0) <= INCIDENT * (1 + 10 / len(scores))
    return found if 2 * found.sum() > len(scores) else np.ones(len(scores), dtype=np.bool_)


def wider(one: Limits, other: Limits) -> Limits:
    """Return, signal by signal, the larger limit; that of `one` where the other has none."""
    is_other = other.limit > one.limit
    return Limits(
        np.where(is_other, other.expected, one.expected), np.fmax(one.limit, other.limit), max(one.factor, other.factor)
    )


def where_known(windows: Limits, splits: Limits) -> Limits:
    """Return the limits of past windows, and those of row splits for signals that the past windows do not have."""
    is_known = np.isfinite(windows.limit)
    return Limits(
        np.where(is_known, windows.expected, splits.expected),
        np.where(is_known, windows.limit, splits.limit),
        windows.factor,
    )


def unexpected_rows(rows: int, reference_rows: int, share: float) -> int:
    """Return how many rows of a window are too many of a kind that the reference has none of.

    Their number is geometric, P(at least k) = (n / (n + N))^k: a Poisson number whose rate is as uncertain as N rows
    without one leave it.
    """
    if rows < 1 or reference_rows < 1:
        return 1
    return max(1, math.ceil(math.log(share) / math.log(rows / (rows + reference_rows))))


def _moments(scores: Floats, floors: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each signal; NaN for one that fewer than half of the windows have."""
    known = np.isfinite(scores)
    count = known.sum(axis=0)
    filled = np.where(known, scores, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count
        squares = (np.where(known, scores - mean, 0.0) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / (count - 1))
    enough = (count > 1) & (2 * count >= len(scores))
    deviation = np.maximum(deviation, SHARE_OF_FLOOR * floors)
    return np.where(enough, mean, np.nan), np.where(enough, deviation, np.nan)


def _greatest_deviations(scores: Floats, floors: Floats) -> Floats:
    """Return each window's greatest deviation in standard deviations, both without this window."""
    known = np.isfinite(scores)
    count = known.sum(axis=0) - known
    filled = np.where(known, scores, 0.0)
    centre = filled.sum(axis=0) / np.maximum(1, known.sum(axis=0))  # before squares are summed: they keep their digits
    moved = np.where(known, scores - centre, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (moved.sum(axis=0) - moved) / count
        variance = ((moved**2).sum(axis=0) - moved**2 - count * mean**2) / (count - 1)
        deviation = np.maximum(np.sqrt(np.maximum(variance, 0.0)), SHARE_OF_FLOOR * floors)
        found = (moved - mean) / deviation
    usable = known & (count > 1) & (2 * known.sum(axis=0) >= len(scores)) & np.isfinite(found)
    greatest: Floats = np.where(usable, found, -np.inf).max(axis=1, initial=0.0)
    return greatest
