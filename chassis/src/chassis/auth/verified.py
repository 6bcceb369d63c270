"""Tokens that were verified, so that a request does not pay for it again."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

from chassis.auth.identity import Identity

MOST = 10_000

T = TypeVar("T")


@dataclass(frozen=True)
class Verified(Generic[T]):
    """`until`: seconds since the epoch. `source`: what the identity rests on, such as an entry of the file."""

    identity: Identity
    until: float
    source: T


class VerifiedTokens(Generic[T]):
    """By a digest that is keyed with a random key of this process: neither the token nor a digest of it that means
    anything elsewhere stays in memory. Bounded; the oldest entry makes room. Safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._found: dict[bytes, Verified[T]] = {}
        self._adding = threading.Lock()

    def get(self, authorization: bytes) -> Verified[T] | None:
        found = self._found.get(self._digest(authorization))
        return found if found is not None and found.until > self._clock() else None

    def add(self, authorization: bytes, verified: Verified[T]) -> None:
        with self._adding:
            digest = self._digest(authorization)
            self._found.pop(digest, None)
            while len(self._found) >= MOST:
                del self._found[next(iter(self._found))]
            self._found[digest] = verified

    def _digest(self, authorization: bytes) -> bytes:
        return blake2b(authorization, digest_size=32, key=self._key).digest()
