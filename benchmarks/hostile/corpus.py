"""Classes of hostile requests: each a generator of its own; the same seed gives the same requests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.hostile import bodies, wire
from benchmarks.hostile.bodies import Case

CLASSES: dict[str, tuple[Callable[[Random], Case], int]] = {
    # of 100,000
    "deep JSON": (bodies.deep, 12_000),
    "huge numbers": (bodies.numbers, 20_000),
    "values of other types": (bodies.values, 22_000),
    "wrong encodings": (bodies.encodings, 10_000),
    "wrong content types": (bodies.content_types, 8_000),
    "binary tensors": (bodies.tensors, 8_000),
    "headers": (wire.headers, 6_000),
    "methods, paths, hosts": (wire.paths, 5_000),
    "pipelined (requests of 2 to 19)": (wire.pipelined, 300),
    "half requests": (wire.halves, 3_000),
    "wrong lengths": (wire.lengths, 2_000),
    "invalid HTTP": (wire.invalid_http, 3_500),
    "header bombs": (wire.header_bombs, 60),
    "bodies of 15 to 100 MB": (wire.huge_bodies, 48),
    "bombs": (wire.bombs, 66),
    "slow clients": (wire.slow, 128),
}
