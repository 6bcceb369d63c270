"""The inner side of the gate latency: times predictions, beside a loop that shows how busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

WARM_UP_CALLS = 5
TIMED_CALLS = 100
BATCH_WARM_UP_CALLS = 2
TIMED_BATCHES = 40
SHORTEST_LOOP, LONGEST_LOOP = 0.0003, 0.005
"""Seconds of the loop between timed calls."""


def batches_of(frame: Any, rows: int) -> list[Any]:
    """Return consecutive batches of `rows` rows of `frame`, wrapping around at its end."""
    import numpy as np

    different = min(TIMED_BATCHES, -(-len(frame) // rows))
    return [frame.iloc[np.arange(at * rows, (at + 1) * rows) % len(frame)] for at in range(different)]


def time_calls_of(
    predict: Callable[[Any], Any], frames: list[Any], warm_up: int, calls: int, budget: float
) -> list[tuple[float, float, float, float]]:
    """Return, for each prediction after the warm-up calls, its seconds and CPU seconds, and those of a loop after it.

    The loop only computes, and is as long as a prediction, within limits: what it takes longer, the machine has taken
    from this process. Ends early when `budget` (seconds) is used up.
    """
    warm = []
    for number in range(warm_up):
        began = time.perf_counter()
        predict(frames[number % len(frames)])
        warm.append(time.perf_counter() - began)
    rounds = _rounds(min(max(min(warm), SHORTEST_LOOP), LONGEST_LOOP))
    timed: list[tuple[float, float, float, float]] = []
    end = time.perf_counter() + budget
    while len(timed) < calls and (len(timed) < 1 or time.perf_counter() < end):
        began, worked = time.perf_counter(), time.process_time()
        predict(frames[len(timed) % len(frames)])
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
        timed.append((seconds, cpu, *_loop(rounds)))
    return timed


def _rounds(seconds: float) -> int:
    """Return how many rounds of the loop take so long, of CPU time."""
    tried = 2000
    return max(1, int(tried * seconds / max(min(_loop(tried)[1] for _ in range(5)), 1e-9)))


def _loop(rounds: int) -> tuple[float, float]:
    """Compute, and return the seconds and the CPU seconds of this thread that it took."""
    began, worked = time.perf_counter(), time.thread_time()
    while rounds:
        rounds -= 1
    return time.perf_counter() - began, time.thread_time() - worked
