"""Announced versions that the registry does not have: which are judged at once, and which move behind."""

from __future__ import annotations

import pytest

from gatekeeper.policy.absent_versions import Absent, absent_versions

CASES = {
    "one alone": ([7], {1}, Absent((7,), ())),
    "several, and none that exists": ([7, 8, 9, 10, 11], set(), Absent((7, 8), ())),
    "one that exists is overtaken by none": ([7, 8, 9, 10, 2], {1, 2}, Absent((7, 8), (9, 10))),
    "few, and one that exists": ([7, 2, 8], {1, 2}, Absent((7, 8), ())),
    "one that exists comes earlier": ([2, 7, 8, 9], {2}, Absent((7, 8), (9,))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_judged_now(case: tuple[list[int], set[int], Absent]) -> None:
    queued, known, expected = case
    assert absent_versions(queued, known, at_a_time=2) == expected
