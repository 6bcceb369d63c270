"""How long a tried version may take for rows that it is to answer: pure, from what the champion takes."""

from __future__ import annotations

import math
from collections import deque

FACTOR = 10
"""A tried version that takes so many times the champion's 95th percentile is late: the champion answers."""
REMEMBERED = 256
RECKONED_EVERY = 64
"""Predictions: the percentile costs a sort."""


class Deadline:
    """Seconds. A user waits for a tried version so long at most, and then for the champion."""

    def __init__(self, shortest: float, longest: float) -> None:
        """`shortest`: a champion that is compiled takes less than a busy machine lets any other process wait."""
        self._shortest, self._longest = min(shortest, longest), longest
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._noted = 0
        self.seconds = self._shortest

    def note(self, seconds: float) -> None:
        """Learn what the champion took for a prediction."""
        self._times.append(seconds)
        self._noted += 1
        if self._noted % RECKONED_EVERY == 0:
            times = sorted(self._times)
            percentile = times[math.ceil(0.95 * len(times)) - 1]
            self.seconds = min(max(self._shortest, FACTOR * percentile), self._longest)
