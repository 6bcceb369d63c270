"""The policy's part on drift: a budget of false alarms, in how many windows it must be seen, and what follows."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.drift_settings import After, Budget, Drift


@pytest.mark.parametrize(
    ("written", "read"),
    [("2 of 3", (2, 3)), ("1 of 1", (1, 1)), (" 3  of 20 ", (3, 20)), (1, (1, 1)), (2, (2, 2))],
)
def test_after_is_a_number_of_windows(written: Any, read: tuple[int, int]) -> None:
    drift = Drift.model_validate({"after": written})
    assert drift.after == After(*read)
    assert Drift.model_validate_json(drift.model_dump_json()) == drift


@pytest.mark.parametrize("written", ["4 of 3", "0 of 3", "2 of 21", "2/3", "often", True, 1.5, None, [2, 3]])
def test_and_nothing_else(written: Any) -> None:
    with pytest.raises(ValidationError, match="expected for example 2 of 3"):
        Drift.model_validate({"after": written})


def test_the_budget_is_a_share_of_the_windows() -> None:
    assert Budget().share == 0.05 and Budget().in_words == "1 false alarm in 20 windows"
    assert Budget(false_alarms=2, per_windows=100).share == 0.02
    with pytest.raises(ValidationError, match="3 false alarms in 5 windows: at most half"):
        Budget(false_alarms=3, per_windows=5)


def test_a_share_and_a_budget_are_two_rules() -> None:
    assert Drift.model_validate({"drift_share": 0.2}).drift_share == 0.2
    with pytest.raises(ValidationError, match="leave one of them out"):
        Drift.model_validate({"drift_share": 0.2, "budget": {"per_windows": 50}})
