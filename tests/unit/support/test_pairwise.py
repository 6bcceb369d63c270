"""The part of a grid that `make test` runs: every pair of values is in it, and it is small."""

from __future__ import annotations

import itertools

import pytest

from support.pairwise import covering, grid


@pytest.mark.parametrize(
    ("sizes", "most"), [((2, 3), 6), ((2, 30, 5), 160), ((4, 4, 4), 20), ((3, 3, 3, 3), 14), ((1,), 1)]
)
def test_any_two_values_meet_and_few_rows_are_needed(sizes: tuple[int, ...], most: int) -> None:
    rows = covering(*sizes)
    for first, second in itertools.combinations(range(len(sizes)), 2):
        met = {(row[first], row[second]) for row in rows}
        assert met == set(itertools.product(range(sizes[first]), range(sizes[second])))
    assert len(rows) <= most
    assert covering(*sizes) == rows, "the same part every time"


def test_the_whole_grid_is_there_and_only_what_pairs_do_not_need_is_exhaustive() -> None:
    params = grid(("a", "b", "c"), "xy", "12", "pq").args[1]
    assert [param.values for param in params] == list(itertools.product("xy", "12", "pq"))
    plain = [param.values for param in params if not param.marks]
    assert {(a, b) for a, b, _ in plain} == set(itertools.product("xy", "12"))
    assert len(plain) < len(params)
