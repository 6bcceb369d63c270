"""Announced versions that the registry does not have: judged several at a time, and behind those that it has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

AT_A_TIME = 50
"""Verdicts in one transaction, which blocks the other writers of a SQLite file: about a quarter of a second."""


@dataclass(frozen=True)
class Absent:
    """Versions to judge now, and versions whose jobs move to the end of the queue."""

    now: tuple[int, ...]
    behind: tuple[int, ...]


def absent_versions(queued: Sequence[int], known: Collection[int], at_a_time: int = AT_A_TIME) -> Absent:
    """Decide on the versions of a model that wait for their gates, oldest first; `known`: those of the registry.

    Others move behind only where one that the registry has would wait for them.
    """
    absent = [version for version in queued if version not in known]
    overtaken = any(version in known for version in queued)
    return Absent(tuple(absent[:at_a_time]), tuple(absent[at_a_time:]) if overtaken else ())
