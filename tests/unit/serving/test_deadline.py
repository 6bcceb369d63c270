"""How long a tried version may take: never less than the floor, never more than a request."""

from __future__ import annotations

import pytest

from serving.policy.deadline import Deadline


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0.5),
        ([0.001] * 64, 0.5),
        ([0.1] * 64, 1.0),
        ([0.1] * 63, 0.5),  # too few to know
        ([0.001] * 62 + [3.0] * 2, 0.5),  # one in twenty may be slow
        ([0.1] * 60 + [0.4] * 4, 4.0),
        ([20.0] * 64, 30.0),
        ([0.4] * 256 + [0.1] * 256, 1.0),  # what is long past is forgotten
    ],
)
def test_the_deadline_follows_the_champion(times: list[float], expected: float) -> None:
    deadline = Deadline(0.5, 30.0)
    for seconds in times:
        deadline.note(seconds)
    assert deadline.seconds == pytest.approx(expected)


def test_a_floor_above_the_limit_is_the_limit() -> None:
    assert Deadline(0.5, 0.2).seconds == 0.2
