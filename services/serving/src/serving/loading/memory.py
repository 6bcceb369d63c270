"""Measure the memory that models take in this process, and release it."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil
from prometheus_client import Counter, Gauge

from chassis.telemetry import get_logger
from serving.loading.model_state import ModelState
from serving.policy.eviction import Held, evictions
from serving.policy.versions import Artifact

EVICTIONS = Counter(
    "gauntlet_serving_evictions_total", "Versions that left memory for want of room", ["model_name", "what"]
)
RESIDENT = Gauge(
    "gauntlet_serving_resident_bytes", "What the models in memory take, as measured", multiprocess_mode="livesum"
)

log = get_logger(__name__)

_process = psutil.Process()
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's; None elsewhere."""


@dataclass(frozen=True, slots=True)
class Evicted:
    state: ModelState
    artifact: Artifact
    size: int
    """Bytes."""
    was_tried: bool


class RssDelta:
    """The growth of the process's resident memory within the block, in bytes; never negative.

    Concurrent loads each measure the growth of all: they count for more than they take, and the budget still holds.
    Memory that another model frees meanwhile hides growth; therefore a model counts for at least its size on disk.
    """

    def __init__(self, *, exact: bool) -> None:
        """`exact`: return free memory to the system before each measurement, which takes some milliseconds."""
        self._exact = exact
        self._before = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        self._before = self._resident()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bytes = max(0, self._resident() - self._before)

    def _resident(self) -> int:
        if self._exact:
            give_back()
        return int(_process.memory_info().rss)


def give_back() -> None:
    """Return freed memory, which the C library keeps, to the system. Blocks for some milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def make_room(states: Collection[ModelState], budget: int) -> list[Evicted]:
    """Release what `evictions` returns, and return it. A `budget` of 0 means no limit."""
    held = [
        Held(
            artifact,
            loaded.size,
            state.last_used,
            state.is_previous(artifact),
            state.is_tried(artifact),
            state.is_pinned,
        )
        for state in states
        for artifact, loaded in state.resident.items()
    ]
    by_name = {state.model_name: state for state in states}
    gone = []
    for artifact in evictions(held, budget) if budget else ():
        state = by_name[artifact.model_name]
        found = Evicted(state, artifact, state.resident[artifact].size, state.is_tried(artifact))
        what = "tried" if found.was_tried else "previous" if state.is_previous(artifact) else "model"
        state.evict(artifact)
        gone.append(found)
        EVICTIONS.labels(artifact.model_name, what).inc()
        log.info("evicted", model_name=artifact.model_name, model_version=artifact.model_version, what=what)
    RESIDENT.set(sum(loaded.size for state in states for loaded in state.resident.values()))
    return gone
