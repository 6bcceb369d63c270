"""A limit on failed authentication, per client address."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable

FAILURES = 20
SECONDS = 60.0
MOST_ADDRESSES = 10_000


class FailureLimit:
    """At most 20 failures a minute and address; then only tokens that were verified before are accepted from there.

    Bounded: the address whose minute began first makes room. An IPv6 address counts as its /64, which is one customer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[float, int]] = {}
        self._counting = threading.Lock()

    def wait(self, address: str) -> float:
        """Return for how many seconds no further attempt is allowed from this address; 0: now."""
        began, count = self._failed.get(_network(address), (0.0, 0))
        return max(0.0, began + SECONDS - self._clock()) if count >= FAILURES else 0.0

    def count(self, address: str) -> None:
        """Count a failure."""
        network, now = _network(address), self._clock()
        with self._counting:
            began, count = self._failed.pop(network, (now, 0))
            if now - began >= SECONDS:
                began, count = now, 0
            while len(self._failed) >= MOST_ADDRESSES:
                del self._failed[next(iter(self._failed))]
            self._failed[network] = (began, count + 1)

    def forget(self) -> None:
        """Forget all failures."""
        with self._counting:
            self._failed.clear()

    def __len__(self) -> int:
        return len(self._failed)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return address
