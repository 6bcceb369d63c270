"""Which models to evict when they exceed the memory budget: a pure function, like the version policy.

First the copies that are kept for a rollback, then the versions that rollouts try, then whole models; of each kind,
those of the least recently requested models first. A copy goes before a version that is tried: without the copy, a
rollback takes seconds; without the version, a rollout ends. Both go before any model that answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.policy.versions import Artifact


@dataclass(frozen=True, slots=True)
class Held:
    """A version in memory."""

    artifact: Artifact
    size: int
    """Bytes."""
    last_used: float
    """When its model was last asked; seconds on the executor's clock."""
    previous: bool = False
    """It was active before: kept for a rollback."""
    tried: bool = False
    """A rollout tries it, or may promote it; in a watch it was active before, too, and counts as tried."""
    pinned: bool = False
    """Its model is being loaded, or requests wait for it."""


def evictions(held: Sequence[Held], budget: int) -> tuple[Artifact, ...]:
    """Return what to release, in this order, until the rest fits `budget` bytes; a whole model is all of its versions.

    Pinned models and the last one stay: then the rest may exceed the budget.
    """
    oldest = sorted(held, key=lambda item: item.last_used)
    total = sum(item.size for item in held)
    gone: list[Artifact] = []
    copies = [item for item in oldest if item.previous and not item.tried]
    for item in (*copies, *(item for item in oldest if item.tried)):
        if total <= budget:
            return tuple(gone)
        gone.append(item.artifact)
        total -= item.size
    models: dict[str, list[Held]] = {}
    for item in oldest:
        if not (item.previous or item.tried):
            models.setdefault(item.artifact.model_name, []).append(item)
    left = len(models)
    for versions in models.values():
        if total <= budget or left == 1:
            break
        if not any(item.pinned for item in versions):
            gone += [item.artifact for item in versions]
            total -= sum(item.size for item in versions)
            left -= 1
    return tuple(gone)
