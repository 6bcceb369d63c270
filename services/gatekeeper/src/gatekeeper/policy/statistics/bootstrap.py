"""Paired bootstrap over rows, entities, or blocks of points in time, for metrics without a known variance.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 10 and 13 (percentile bounds);
C. Field and A. Welsh, "Bootstrapping clustered data", JRSS B 69, 2007 (whole clusters are drawn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.metrics import METRICS
from gatekeeper.policy.statistics.clusters import Codes
from gatekeeper.policy.statistics.delong import Floats
from gatekeeper.policy.statistics.metrics import (
    Predictions,
    Unmeasurable,
    finite,
    one_score_a_row,
    scores_of_each,
    value_of,
)

RESAMPLED = ("pr_auc", "f1", "roc_auc_ovr")
"""Metrics whose variance has no closed form here. Nor has that of a user's function."""

DRAWS = 2000
SEED = 20130101
FEWEST_BEYOND = 20  # draws beyond a percentile; with fewer, its position is random
CELLS = 500_000  # weights in memory at a time

Counts = NDArray[np.int32]
"""(draws, units): number of times that each row, or each entity, was drawn."""

Statistic = Callable[[Counts], Floats]
"""From counts (draws, units) to values (draws,); NaN where it is not defined."""


def counts(units: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[Counts]:
    """Yield multinomial counts, in batches of draws.

    Uses the bits of PCG64, whose stream NumPy guarantees; that of its distributions may change with a release, and a
    verdict must be repeatable to the last digit. Multiply-shift from 32 bits: biased by less than units / 2³².
    """
    bits = np.random.PCG64(seed)
    at_a_time = max(1, CELLS // units)
    for start in range(0, draws, at_a_time):
        some = min(at_a_time, draws - start)
        drawn = ((bits.random_raw(some * units) >> np.uint64(32)) * np.uint64(units)) >> np.uint64(32)
        places = drawn.astype(np.int64).reshape(some, units) + units * np.arange(some)[:, None]
        yield np.bincount(places.ravel(), minlength=some * units).astype(np.int32).reshape(some, units)


def block_counts(points: int, length: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[Counts]:
    """Yield how often each point in time is in moving blocks of `length` consecutive ones, in batches of draws.

    Blocks begin at any point that leaves room for them, and are drawn until there are as many points as before, the
    last one in part. H. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of
    Statistics 17, 1989.
    """
    starts, whole = points - length + 1, -(-points // length)
    lengths = np.full(whole, length)
    lengths[-1] = points - (whole - 1) * length
    bits = np.random.PCG64(seed)
    at_a_time = max(1, CELLS // points)
    for begin in range(0, draws, at_a_time):
        some = min(at_a_time, draws - begin)
        drawn = ((bits.random_raw(some * whole) >> np.uint64(32)) * np.uint64(starts)) >> np.uint64(32)
        first = drawn.astype(np.int64).reshape(some, whole) + (points + 1) * np.arange(some)[:, None]
        cells = some * (points + 1)
        steps = np.bincount(first.ravel(), minlength=cells) - np.bincount((first + lengths).ravel(), minlength=cells)
        yield np.cumsum(steps.reshape(some, points + 1)[:, :points], axis=1).astype(np.int32)


def resampled(
    statistics: Sequence[Statistic], units: int, draws: int = DRAWS, seed: int = SEED, length: int | None = None
) -> Floats:
    """Return values (statistics, draws). All statistics share each draw, which pairs them.

    With `length`, units are points in time, of which moving blocks are drawn.
    """
    drawn = counts(units, draws, seed) if length is None else block_counts(units, length, draws, seed)
    parts = [[statistic(some) for statistic in statistics] for some in drawn]
    return np.concatenate([np.array(part) for part in parts], axis=1)


def observed(statistic: Statistic, units: int) -> float:
    """Return the statistic on the original rows."""
    return float(statistic(np.ones((1, units), dtype=np.int32))[0])


def percentiles(draws: Floats, alpha: float) -> tuple[float, float] | None:
    """Return one-sided bounds at level 1 - alpha; None if too few draws lie beyond them."""
    if alpha * len(draws) < FEWEST_BEYOND:
        return None
    lower, upper = np.quantile(draws, [alpha, 1 - alpha])
    return float(lower), float(upper)


def is_resampled(metric: str) -> bool:
    return metric in RESAMPLED or METRICS[metric].is_function


def statistic_of(metric: str, truth: NDArray[Any], answers: Predictions, codes: Codes | None) -> Statistic:
    """Return the statistic of a metric that `is_resampled`. Raises Unmeasurable."""
    if METRICS[metric].is_function:
        return custom(metric, truth, answers, codes)
    if metric == "pr_auc":
        if not (truth == 1).any():
            raise Unmeasurable("there are no positive golden rows")
        return average_precision(truth, one_score_a_row(metric, answers), codes)
    if metric == "roc_auc_ovr":
        return roc_auc_ovr(truth, scores_of_each(metric, truth, answers), codes)
    binary = answers.scores is not None and answers.scores.ndim == 1
    return f1(truth, finite(answers.labels), codes, macro=not binary)


def custom(metric: str, truth: NDArray[Any], answers: Predictions, codes: NDArray[np.intp] | None) -> Statistic:
    """Return the user's function, called once for each draw. Raises Unmeasurable if it has no value on all rows."""
    finite(answers.labels)
    places = np.arange(len(truth))

    def statistic(drawn: Counts) -> Floats:
        found = np.empty(len(drawn))
        for number, of_units in enumerate(drawn):
            rows = np.repeat(places, of_units if codes is None else of_units[codes])
            scores = None if answers.scores is None else answers.scores[rows]
            found[number] = value_of(metric, truth[rows], answers.labels[rows], scores)
        return found

    if np.isnan(observed(statistic, len(truth) if codes is None else int(codes.max()) + 1)):
        raise Unmeasurable("the function returns no number for these rows")
    return statistic


def average_precision(truth: NDArray[Any], scores: Floats, codes: NDArray[np.intp] | None) -> Statistic:
    """Return the area under the precision-recall curve, Σ (Rₖ - Rₖ₋₁) Pₖ; rows of equal score are grouped.

    `codes`: unit of each row; None: each row is one.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # For each row, the last one of equal score: precision is defined there.
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    positive = np.flatnonzero(np.asarray(truth)[order] == 1)
    ends, group = np.unique(last[positive], return_inverse=True)
    columns = order if codes is None else codes[order]
    positives_until = np.searchsorted(positive, ends, side="right") - 1

    def statistic(drawn: Counts) -> Floats:
        rows = np.take(drawn, columns, axis=1)
        of_positives = np.take(rows, positive, axis=1)
        found = np.take(np.cumsum(of_positives, axis=1, dtype=np.int32), positives_until, axis=1)
        answered = np.take(np.cumsum(rows, axis=1, dtype=np.int32), ends, axis=1)
        with np.errstate(invalid="ignore"):
            # A group that was not drawn, with none above it, has 0/0; its rows have weight zero.
            precision = np.nan_to_num(found / answered)
            value: Floats = (of_positives * np.take(precision, group, axis=1)).sum(axis=1) / found[:, -1]
        return value

    return statistic


def roc_auc_ovr(truth: NDArray[Any], scores: Floats, codes: NDArray[np.intp] | None) -> Statistic:
    """Return the mean over the classes of the area under the ROC curve against the rest, as Mann-Whitney's U.

    `scores` are (n, k). NaN for a draw without a row of some class, or with rows of one class only.
    """
    parts = [_against_the_rest(truth == number, scores[:, number], codes) for number in range(scores.shape[1])]

    def statistic(drawn: Counts) -> Floats:
        value: Floats = np.mean([part(drawn) for part in parts], axis=0)
        return value

    return statistic


def _against_the_rest(is_it: NDArray[np.bool_], scores: Floats, codes: NDArray[np.intp] | None) -> Statistic:
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], np.flatnonzero(is_it[order])
    below, until = (np.searchsorted(ranked, ranked[positive], side=side) for side in ("left", "right"))
    columns = order if codes is None else codes[order]

    def statistic(drawn: Counts) -> Floats:
        rows = np.take(drawn, columns, axis=1)
        of_class = np.take(rows, positive, axis=1)
        cumulative = np.zeros((len(rows), len(columns) + 1), dtype=np.int32)
        np.cumsum(rows, axis=1, out=cumulative[:, 1:])
        # Twice the number of lower rows, equal ones as half. The class's own rows add the square of their number.
        twice = np.take(cumulative, below, axis=1)
        twice += np.take(cumulative, until, axis=1)
        # Integers below 2⁵³: exact in any order.
        lower = np.einsum("ij,ij->i", of_class, twice, dtype=np.float64)
        positives = of_class.sum(axis=1, dtype=np.float64)
        negatives = cumulative[:, -1] - positives
        with np.errstate(invalid="ignore", divide="ignore"):
            value: Floats = (lower - positives**2) / (2 * positives * negatives)
        return value

    return statistic


def f1(truth: NDArray[Any], labels: NDArray[Any], codes: NDArray[np.intp] | None, *, macro: bool) -> Statistic:
    """Return F₁ of class 1 or, if `macro`, the mean F₁ over the classes that occur or are predicted."""
    said = np.where(labels < 0, -2, labels)  # an unknown class never equals the predicted one
    classes = np.union1d(truth, said) if macro else np.array([1])
    is_it, says_it = truth[:, None] == classes, said[:, None] == classes
    parts = np.hstack([is_it & says_it, is_it, says_it]).T.astype(np.float64)
    if codes is not None:
        parts = np.array([np.bincount(codes, part) for part in parts])
    k = len(classes)

    def statistic(drawn: Counts) -> Floats:
        # Sums of integers: exact in any order. A matrix product would start the threads of BLAS.
        sums = np.einsum("ij,kj->ik", drawn.astype(np.float64), parts)
        both, either = 2 * sums[:, :k], sums[:, k : 2 * k] + sums[:, 2 * k :]
        there = either > 0
        with np.errstate(invalid="ignore"):
            value: Floats = np.where(there, both / either, 0.0).sum(axis=1) / there.sum(axis=1)
        return value

    return statistic
