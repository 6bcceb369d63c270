"""The standard error of a window's metric, from the influence of each row on it.

A metric's value differs from the true one by about the mean of its rows' influences (the infinitesimal jackknife: L.
Jaeckel, Bell Laboratories memorandum 72-1215-11, 1972; B. Efron, "The Jackknife, the Bootstrap and Other Resampling
Plans", SIAM, 1982). For a mean, an influence is the row's loss less the mean; for rmse and F1 it follows by the delta
method; for the area under the ROC curve it is the placement of E. DeLong, D. DeLong and D. Clarke-Pearson (Biometrics
44, 1988); for average precision, the derivative of Σ (R_k - R_k-1) P_k with respect to each row's weight.

Rows are not independent where they are of one entity (sums over entities: K.-Y. Liang and S. Zeger, Biometrika 73,
1986; for the area N. Obuchowski, Biometrics 53, 1997), nor where the level changes with time (sums over blocks in order
of time: H. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17,
1989). The largest of the standard errors is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from contracts.forecasts import pinball, quantile_of, smape

Floats = NDArray[np.float64]

BLOCKS, FEWEST_BLOCKS, ROWS_OF_A_BLOCK = 40, 10, 20
"""Blocks of time: 40 where each then has 20 rows, else fewer, at least 10."""
FEWEST_ENTITIES = 20
"""With fewer, sums over entities say nothing: the same few stay, and blocks of time hold what they share."""
SMALLEST_PROBABILITY = 1e-15
BOUNDED = frozenset({"roc_auc", "pr_auc", "f1", "accuracy", "directional_accuracy"})
"""From 0 to 1."""
OF_CLASSES = frozenset({"roc_auc", "pr_auc", "f1"})
"""Their precision is that of the rarer class."""


class Uncertainty(NamedTuple):
    """A standard error, from so many independent units; `of` says which: rows, entities, blocks of time, groups."""

    se: float
    units: int
    of: str


def influences(metric: str, truth: Floats, said: Floats, *, macro: bool = False) -> Floats:
    """Return the influence of each row, with mean 0. `said`: scores, classes or numbers, as the metric needs them.

    `macro`: F1 is the mean over the classes. Raises KeyError for another metric, and for a user's function.
    """
    if metric == "roc_auc":
        return _of_area(truth, said)
    if metric == "pr_auc":
        return _of_average_precision(truth, said)
    if metric == "f1":
        classes = np.union1d(truth, said) if macro else np.array([1.0])
        each: Floats = np.mean([_of_f1(truth == number, said == number) for number in classes], axis=0)
        return each
    with np.errstate(over="ignore", invalid="ignore"):  # numbers too large to square have no standard error
        if metric == "rmse":
            squared = (truth - said) ** 2
            value = math.sqrt(float(squared.mean()))
            return np.zeros_like(squared) if value == 0 else centred(squared) / (2 * value)
        return centred(losses(metric, truth, said))


def losses(metric: str, truth: Floats, said: Floats) -> Floats:
    """Return each row's part of a metric that is a mean. Raises KeyError for any other metric."""
    if (quantile := quantile_of(metric)) is not None:
        found: Floats = pinball(truth, said, quantile)
        return found
    return _LOSSES[metric](truth, said)


def centred(of_rows: Floats) -> Floats:
    """Return the influence of each row on their mean."""
    found: Floats = of_rows - of_rows.mean()
    return found


def uncertainty(
    metric: str, truth: Floats, influence: Floats, entities: NDArray[np.intp] | None, order: NDArray[np.intp] | None
) -> Uncertainty | None:
    """Return the standard error of the metric; None where no variance can be estimated.

    `entities`: each row's entity, from 0 on, negative where it is unknown. `order`: the rows in order of time; None: as
    they are.
    """
    found = [of_units(influence, None, "rows")]
    if entities is not None and (codes := _repeated(entities)) is not None:
        # Rows of one entity are no units, whatever their standard error would be.
        found = [of_units(influence, codes, "entities")] if int(codes.max()) + 1 >= FEWEST_ENTITIES else []
    ordered = influence if order is None else influence[order]
    found.append(of_units(ordered, _blocks(len(ordered)), "blocks of time"))
    largest = max((each for each in found if each is not None), default=None, key=lambda each: each.se)
    if largest is None or metric not in BOUNDED:
        return largest
    fewest = len(truth)
    if metric in OF_CLASSES:
        fewest = int(np.unique(truth, return_counts=True)[1].min())
    # All rows right, or all wrong: the sample has no variance, the metric has. Half a row is the least there can be.
    found_se = max(largest.se, 0.5 / fewest)
    return Uncertainty(found_se, min(largest.units, fewest), largest.of) if fewest > 1 else None


def of_units(influence: Floats, codes: NDArray[np.intp] | None, of: str) -> Uncertainty | None:
    """Return the standard error over units; None with fewer than two."""
    n = len(influence)
    sums = influence if codes is None else np.bincount(codes, influence)
    units = len(sums)
    if units < 2:
        return None
    return Uncertainty(math.sqrt(units / (units - 1) * float((sums**2).sum())) / n, units, of)


def of_groups(left_out: Floats) -> Uncertainty | None:
    """Return the standard error from the metric without each of the groups (delete-a-group jackknife).

    P. Kott, "The delete-a-group jackknife", Journal of Official Statistics 17, 2001.
    """
    groups = len(left_out)
    if groups < 2 or not np.isfinite(left_out).all():
        return None
    spread = float(((left_out - left_out.mean()) ** 2).sum())
    return Uncertainty(math.sqrt((groups - 1) / groups * spread), groups, "groups")


def groups(n: int, entities: NDArray[np.intp] | None, order: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Return the group of each row for `of_groups`: whole entities where they repeat, else blocks of time."""
    if entities is not None and (codes := _repeated(entities)) is not None and codes.max() + 1 >= FEWEST_ENTITIES:
        of_entities: NDArray[np.intp] = codes % BLOCKS
        return of_entities
    found = np.empty(n, dtype=np.intp)
    found[np.arange(n) if order is None else order] = _blocks(n)
    return found


def _blocks(n: int) -> NDArray[np.intp]:
    blocks = max(FEWEST_BLOCKS, min(BLOCKS, n // ROWS_OF_A_BLOCK))
    return np.arange(n) * blocks // max(n, 1)


def _repeated(entities: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """Return codes without gaps; None where no entity repeats. A row of unknown entity is its own."""
    alone = entities < 0
    known = np.where(alone, int(entities.max(initial=0)) + 1 + np.cumsum(alone), entities)
    found, codes = np.unique(known, return_inverse=True)
    return None if len(found) == len(entities) else codes


def _of_area(truth: Floats, scores: Floats) -> Floats:
    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    placement = np.empty(len(truth))
    placement[positive] = (ranks[positive] - rankdata(scores[positive])) / n
    placement[~positive] = 1.0 - (ranks[~positive] - rankdata(scores[~positive])) / m
    area = placement[positive].mean()
    found: Floats = (placement - area) * np.where(positive, len(truth) / m, len(truth) / n)
    return found


def _of_average_precision(truth: Floats, scores: Floats) -> Floats:
    """With P(s) the precision at score s and H(s) the share of rows at or above it: (y (P(s) - AP) + A(s, y)) / π,

    where A(s, y) = y E[y' 1(s' ≤ s) / H(s')] - E[y' 1(s' ≤ s) P(s') / H(s')] is what the row changes in the precision
    of those at or below it, and π the share of positive rows.
    """
    n = len(truth)
    _, at = np.unique(-scores, return_inverse=True)  # groups of equal score, the highest first
    rows, positives = np.bincount(at), np.bincount(at, truth == 1)
    above = np.cumsum(rows) / n
    precision = np.cumsum(positives) / np.cumsum(rows)
    share = positives.sum() / n
    average = float((positives * precision).sum() / positives.sum())
    below = np.cumsum((positives / n / above)[::-1])[::-1]
    weighted = np.cumsum((positives / n * precision / above)[::-1])[::-1]
    y = (truth == 1).astype(np.float64)
    found: Floats = (y * (precision[at] - average) + y * below[at] - weighted[at]) / share
    return found


def _of_f1(is_it: NDArray[np.bool_], says_it: NDArray[np.bool_]) -> Floats:
    both, either = 2.0 * (is_it & says_it), is_it.astype(np.float64) + says_it
    if not either.any():
        return np.zeros(len(either))
    found: Floats = (both - either * (both.sum() / either.sum())) / either.mean()
    return found


def _log_loss(truth: Floats, scores: Floats) -> Floats:
    inside = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    found: Floats = -np.log(np.where(truth == 1, inside, 1 - inside))
    return found


def _symmetric(truth: Floats, said: Floats) -> Floats:
    found: Floats = smape(truth, said)
    return found


_LOSSES: dict[str, Callable[[Any, Any], Floats]] = {
    "accuracy": lambda truth, said: (truth == said).astype(np.float64),
    "brier": lambda truth, said: (np.clip(said, 0.0, 1.0) - truth) ** 2,
    "log_loss": _log_loss,
    "mae": lambda truth, said: np.abs(truth - said),
    "mape": lambda truth, said: np.abs((truth - said) / truth),
    "smape": _symmetric,
}
