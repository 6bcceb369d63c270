"""Distances between random halves of a reference: how far windows without drift are from it, if rows are independent.

Each split divides the rows of the reference, whole rows, into a window and the rest. Each column is sorted once; a
split is then a running count of the window's rows along that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.scoring.columns import Column, Floats, Numbers
from drift.scoring.summaries import (
    JENSEN_SHANNON,
    LEAST_NORM,
    LEAST_VALUES,
    MISSING,
    UNSEEN,
    WASSERSTEIN,
    jensen_shannon_of,
)

MOST_ROWS = 20_000
"""Of a reference that are split; beyond them only the size of the distances changes, and that is known."""
AT_ONCE = 50
"""Splits in memory together."""
SEED = 20240229

Signal = tuple[str, str]
"""A column and a method."""


@dataclass(frozen=True)
class Splits:
    """`scores`: one row a split, one column a signal."""

    signals: tuple[Signal, ...]
    scores: Floats


def row_splits(columns: Mapping[str, Column], size: int, splits: int) -> Splits:
    """Score `splits` random splits of the reference for windows of `size` rows; the same for equal arguments.

    A distance of two samples of n and N rows is proportional to sqrt(1/n + 1/N). So a window of more than half of the
    reference is split into halves, and the distance scaled; a missing share likewise.
    """
    rng = np.random.default_rng(SEED)
    total = max((len(column.is_missing) for column in columns.values()), default=0)
    chosen = np.sort(rng.choice(total, MOST_ROWS, replace=False)) if total > MOST_ROWS else np.arange(total)
    rows = len(chosen)
    part = max(1, min(size, rows // 2))
    scale = float(np.sqrt((1 / size + 1 / max(1, total)) / (1 / part + 1 / max(1, rows - part))))
    prepared = {name: _prepared(column, chosen) for name, column in columns.items()}
    found: dict[Signal, list[Floats]] = {}
    for start in range(0, splits, AT_ONCE):
        count = min(AT_ONCE, splits - start)
        window = np.zeros((rows, count), dtype=np.int32)
        keys = rng.random((count, rows), dtype=np.float32)
        window[np.argpartition(keys, part - 1, axis=1)[:, :part].T, np.arange(count)] = 1
        for name, column in prepared.items():
            for method, scores in column.scores(window, part, scale).items():
                found.setdefault((name, method), []).append(scores)
    matrix = [np.concatenate(parts) for parts in found.values()]
    return Splits(tuple(found), np.column_stack(matrix) if matrix else np.zeros((splits, 0)))


@dataclass(frozen=True)
class _Prepared:
    """`order`: the rows that have a value, ascending; `gaps`: to the next number, None for categories.

    `ends`: of each category, the position of its last row in `order`.
    """

    rows: int
    order: NDArray[np.intp]
    gaps: Floats | None
    norm: float
    ends: NDArray[np.intp]

    def scores(self, window: NDArray[np.int32], part: int, scale: float) -> dict[str, Floats]:
        """Return the distances of each split; `window`: one row a row of the reference, one column a split."""
        present = len(self.order)
        counted = np.cumsum(window[self.order], axis=0, dtype=np.int32)
        inside = counted[-1].astype(float) if present else np.zeros(window.shape[1])
        found: dict[str, Floats] = {}
        of_window, of_rest = np.maximum(1.0, inside), np.maximum(1.0, present - inside)
        is_enough = present and min(float(inside.min()), float((present - inside).min())) >= LEAST_VALUES
        if self.gaps is not None:
            if is_enough:
                # |F − G| = |a/A − (i − a)/(P − A)|, with a of the first i values inside
                ranks = np.arange(1, present, dtype=float)[:, None]
                apart = counted[:-1] * (1 / of_window + 1 / of_rest)
                apart -= ranks / of_rest
                with np.errstate(over="ignore", invalid="ignore"):
                    found[WASSERSTEIN] = scale * (self.gaps @ np.abs(apart, out=apart)) / self.norm
        else:
            counts = np.diff(counted[self.ends], axis=0, prepend=0) if present else np.zeros((0, window.shape[1]))
            rest = np.diff(self.ends, prepend=-1)[:, None] - counts
            if is_enough:
                found[JENSEN_SHANNON] = scale * jensen_shannon_of(counts / of_window, rest / of_rest)
            found[UNSEEN] = np.where(rest == 0, counts, 0).sum(axis=0) / part
        shares = (1 - inside / part) - (1 - (present - inside) / max(1, self.rows - part))
        found[MISSING] = scale * np.abs(shares)
        return found


def _prepared(column: Column, chosen: NDArray[np.intp]) -> _Prepared:
    if isinstance(column, Numbers):
        whole = column.values[~np.isnan(column.values)]
        values = column.values[chosen]
        order = np.argsort(values, kind="stable")[: int((~np.isnan(values)).sum())]
        with np.errstate(over="ignore", invalid="ignore"):
            norm = max(float(np.std(whole)), LEAST_NORM) if len(whole) else LEAST_NORM
            gaps = np.diff(values[order])
        return _Prepared(len(chosen), order, gaps, norm, np.zeros(0, dtype=np.intp))
    codes = column.codes[chosen]
    order = np.argsort(codes, kind="stable")[int((codes < 0).sum()) :]
    ends = np.flatnonzero(np.diff(codes[order], append=np.iinfo(np.int32).max))
    return _Prepared(len(chosen), order, None, LEAST_NORM, ends)
