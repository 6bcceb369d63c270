"""When a decision is published again over what was written over it."""

from __future__ import annotations

import pytest

from gatekeeper.policy.repetition import FIRST_SECONDS, LONGEST_SECONDS, QUIET_SECONDS, counted, wait_before


@pytest.mark.parametrize(
    ("repeats", "seconds"), [(0, 0.5), (1, 1), (2, 2), (6, 32), (7, 60), (8, 60), (1000, 60), (10**9, 60)]
)
def test_each_time_later_up_to_a_minute(repeats: int, seconds: float) -> None:
    assert wait_before(repeats) == seconds


def test_a_fight_of_an_hour_is_bounded() -> None:
    repeats, elapsed = 0, 0.0
    while elapsed < 3600:
        elapsed += wait_before(repeats)
        repeats += 1
    assert repeats <= 3600 / LONGEST_SECONDS + 8


@pytest.mark.parametrize(("quiet", "left"), [(0, 5), (QUIET_SECONDS - 1, 5), (QUIET_SECONDS, 0)])
def test_after_a_quiet_time_it_begins_anew(quiet: float, left: int) -> None:
    assert counted(5, quiet) == left and wait_before(counted(5, QUIET_SECONDS)) == FIRST_SECONDS
