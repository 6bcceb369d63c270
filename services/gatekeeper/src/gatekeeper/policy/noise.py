"""How far timings can be believed: what a loop of known length took between the timed calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Noise:
    """Seconds beside the timed calls, one of each per call.

    `cpu`: CPU time of the call, over all threads. `loop` and `loop_cpu`: duration and CPU time of a loop that only
    computes, and is about as long as a call, or 5 ms for longer calls.
    """

    cpu: tuple[float, ...]
    loop: tuple[float, ...]
    loop_cpu: tuple[float, ...]

    @property
    def quiet(self) -> float:
        """Return the seconds that the loop takes on a machine with nothing else to do."""
        return min(self.loop_cpu)

    @property
    def p95(self) -> float:
        """Return the 95th percentile of the loop's duration, in seconds."""
        return float(np.quantile(self.loop, 0.95))

    @property
    def running(self) -> float:
        """Return the share of its time in which the loop was running, 0 to 1, and not waiting for a processor."""
        return min(1.0, float(np.sum(self.loop_cpu)) / max(float(np.sum(self.loop)), 1e-12))

    @property
    def is_busy(self) -> bool:
        """Whether other processes had a considerable part of the machine."""
        return self.running < 0.9 or self.p95 > 1.5 * self.quiet

    @property
    def hiccup(self) -> float:
        """Return by how many seconds the machine has lengthened the loop at most."""
        return max(self.loop) - self.quiet

    def least(self, seconds: tuple[float, ...]) -> float:
        """Return what the 95th percentile of these calls would be at least on a quiet machine, in seconds.

        The median of their CPU time, less what sharing a core adds to it, and the time that nearly every call waits for
        something else than a processor. Waiting for a processor is assumed to be up to twice as long as the loop's, and
        CPU time to grow by half on a busy machine, whose caches others use too (up to twice was seen in single calls).
        """
        cpu, wall = np.asarray(self.cpu), np.asarray(seconds)
        worked = float(np.median(np.minimum(cpu, wall)))
        shared = self.quiet / max(float(np.quantile(self.loop_cpu, 0.95)), 1e-12)
        waited = float(np.quantile(np.maximum(wall - cpu, 0), 0.1))
        found = worked * shared + max(0.0, waited - 2 * worked * (1 / max(self.running, 1e-12) - 1))
        return found / 1.5 if self.is_busy else found
