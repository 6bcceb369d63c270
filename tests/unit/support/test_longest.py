"""The table by which tests are scheduled names files that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.longest import LONGEST

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("path", LONGEST)
def test_a_file_that_is_scheduled_is_there(path: str) -> None:
    assert (TESTS / path).is_file(), f"tests/support/longest.py names {path}, which was moved or removed"
