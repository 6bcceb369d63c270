"""Grids of parameters: `make test` runs a part in which any two values meet, `make test-all` the whole."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

Row = tuple[int, ...]


def covering(*sizes: int, seed: int = 0) -> set[Row]:
    """Rows of a grid, few of them, in which each pair of values of any two axes meets at least once.

    Greedy: the next row is the one that has the most pairs that did not meet yet. `sizes` are the lengths of the axes;
    a row has a position on each. The same arguments give the same rows.
    """
    rows = list(itertools.product(*map(range, sizes)))
    random.Random(seed).shuffle(rows)
    missing = {pair for row in rows for pair in _pairs(row)}
    chosen: set[Row] = set()
    while missing:
        best = max(rows, key=lambda row: len(missing & _pairs(row)))
        missing -= _pairs(best)
        chosen.add(best)
    return chosen


def grid(names: Sequence[str], *axes: Sequence[object], **options: object) -> pytest.MarkDecorator:
    """Parametrises with every row of the grid; those that pairs do not need are `exhaustive`.

    `options` are those of `pytest.mark.parametrize`.
    """
    kept = covering(*map(len, axes))
    params = [
        pytest.param(*values, marks=() if place in kept else pytest.mark.exhaustive)
        for place, values in zip(
            itertools.product(*(range(len(axis)) for axis in axes)), itertools.product(*axes), strict=True
        )
    ]
    return pytest.mark.parametrize(names, params, **options)  # type: ignore[arg-type]


def _pairs(row: Row) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(row), 2))
