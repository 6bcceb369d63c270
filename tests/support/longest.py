"""In which order files of tests are run: a long one that begins last has one worker work while the others wait."""

from __future__ import annotations

from pathlib import PurePath

SECONDS: dict[str, int] = {}
"""How long the longest files take, in `make test` on two cores. Only the order matters."""


def longest_first(path: PurePath) -> tuple[int, str, int]:
    """A key to sort files by, `path` below `tests/`: folders by their seconds, and files of one folder by theirs."""
    return -_seconds_in(path.parent), str(path.parent), -SECONDS.get(path.as_posix(), 0)


def _seconds_in(folder: PurePath) -> int:
    return sum(seconds for path, seconds in SECONDS.items() if PurePath(path).parent == folder)
