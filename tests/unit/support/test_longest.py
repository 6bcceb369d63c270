"""The table by which tests are scheduled names files that are there."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from support.longest import SECONDS, longest_first

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("path", SECONDS)
def test_a_file_that_is_scheduled_is_there(path: str) -> None:
    assert (TESTS / path).is_file(), f"tests/support/longest.py names {path}, which was moved or removed"


def test_files_of_a_folder_stay_together_and_longest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"a/short.py": 1, "a/long.py": 9, "b/middle.py": 5, "b/other.py": 7}
    monkeypatch.setattr("support.longest.SECONDS", seconds)
    paths = map(PurePath, ["a/short.py", "c/unknown.py", "b/middle.py", "a/long.py", "b/other.py", "a/unknown.py"])
    assert [str(path) for path in sorted(paths, key=longest_first)] == [
        *("b/other.py", "b/middle.py", "a/long.py", "a/short.py", "a/unknown.py", "c/unknown.py")
    ]
