"""What a comparison needs of a column: sorted numbers, or counts of categories; whole, or as a small sketch of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from drift.scoring.columns import Categories, Column, Floats, Numbers

WASSERSTEIN, JENSEN_SHANNON, MISSING, UNSEEN = "wasserstein", "jensenshannon", "missing share", "unseen share"
LEAST_VALUES = 30
"""Fewest present values on each side for a meaningful distance."""
LEAST_NORM = 0.001
"""Evidently's floor for the standard deviation of a (nearly) constant reference."""
MOST_POINTS, MOST_CATEGORIES = 2048, 4096
"""Of a sketch: numbers at evenly spaced ranks, and the most frequent categories."""


@dataclass(frozen=True)
class NumberSummary:
    """`points`: ascending, of equal weight; all present values, or a sketch of them."""

    points: Floats
    present: int
    missing: int

    @property
    def norm(self) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return max(float(np.std(self.points)), LEAST_NORM)


@dataclass(frozen=True)
class CategorySummary:
    """`other`: present values of categories that a sketch leaves out."""

    counts: dict[str, int]
    missing: int
    other: int = 0

    @property
    def present(self) -> int:
        return sum(self.counts.values()) + self.other


Summary: TypeAlias = NumberSummary | CategorySummary


def summary_of(column: Column) -> Summary:
    if isinstance(column, Numbers):
        points = np.sort(column.values)  # NaN last
        present = int(np.searchsorted(points, np.nan))
        return NumberSummary(points[:present], present, len(points) - present)
    return _counted(column)


def sketch_of(summary: Summary) -> Summary:
    """Return at most MOST_POINTS numbers, or MOST_CATEGORIES categories, for a comparison with other references."""
    if isinstance(summary, NumberSummary):
        if summary.present <= MOST_POINTS:
            return summary
        ranks = (np.arange(MOST_POINTS) + 0.5) * summary.present / MOST_POINTS
        return NumberSummary(summary.points[ranks.astype(int)], summary.present, summary.missing)
    if len(summary.counts) <= MOST_CATEGORIES:
        return summary
    kept = dict(sorted(summary.counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES])
    return CategorySummary(kept, summary.missing, summary.present - sum(kept.values()))


def distances(reference: Summary, current: Summary) -> dict[str, float]:
    """Return the distance of each method; without WASSERSTEIN or JENSEN_SHANNON where one side has too few values.

    A category that the reference does not have is unseen. Of a sketch that leaves categories out, neither the distance
    nor the unseen share is known.
    """
    found: dict[str, float] = {}
    are_enough = min(reference.present, current.present) >= LEAST_VALUES
    if isinstance(reference, NumberSummary) and isinstance(current, NumberSummary):
        if are_enough:
            found[WASSERSTEIN] = wasserstein(reference.points, current.points) / reference.norm
    elif isinstance(reference, CategorySummary) and isinstance(current, CategorySummary) and not current.other:
        if are_enough:
            found[JENSEN_SHANNON] = jensen_shannon(reference.counts, current.counts)
        unseen = sum(count for name, count in current.counts.items() if name not in reference.counts)
        found[UNSEEN] = unseen / max(1, current.present + current.missing)
    found[MISSING] = abs(_missing_share(reference) - _missing_share(current))
    return found


def wasserstein(one: Floats, other: Floats) -> float:
    """Return the distance of two ascending samples: the area between their distribution functions."""
    few, many = sorted((one, other), key=len)
    with np.errstate(over="ignore", invalid="ignore"):
        is_few = np.zeros(len(few) + len(many), dtype=bool)
        is_few[np.searchsorted(many, few, "right") + np.arange(len(few))] = True
        both = np.empty(len(is_few))
        both[is_few], both[~is_few] = few, many
        # After i values, of which a are of the few: a/A − (i − a)/B
        of_few = np.cumsum(is_few[:-1], dtype=np.float64)
        apart = of_few * (1 / len(few) + 1 / len(many))
        apart -= np.arange(1, len(is_few)) / len(many)
        return float(np.dot(np.abs(apart, out=apart), np.diff(both)))


def jensen_shannon(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    names = {name: place for place, name in enumerate({**one, **other})}
    p, q = np.zeros(len(names)), np.zeros(len(names))
    for counts, into in ((one, p), (other, q)):
        into[[names[name] for name in counts]] = list(counts.values())
    return float(jensen_shannon_of(p / p.sum(), q / q.sum()))


def jensen_shannon_of(p: Floats, q: Floats) -> Floats:
    """Return the distance along the first axis, in nats; a rounding error below zero counts as zero."""
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=0) / 2
    root: Floats = np.sqrt(np.maximum(divergence, 0.0))
    return root


def _counted(column: Categories) -> CategorySummary:
    counts: NDArray[np.int64] = np.bincount(column.codes + 1, minlength=len(column.names) + 1)
    present = zip(column.names, counts[1:].tolist(), strict=True)
    return CategorySummary({name: count for name, count in present if count}, int(counts[0]))


def _missing_share(summary: Summary) -> float:
    rows = summary.present + summary.missing
    return summary.missing / rows if rows else 1.0
