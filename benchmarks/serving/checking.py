"""Checks before a server is measured: it responds, with the native model's predictions, also under concurrency."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from benchmarks.serving.protocols import Protocol
from benchmarks.serving.servers import Running
from benchmarks.serving.subjects import Subject

TOLERANCE = 1e-6
START_SECONDS = 120
AT_ONCE = 16


class Wrong(Exception):
    """A server's predictions differ from the native model's; its figures would be meaningless."""


def wait(running: Running, protocol: Protocol, subject: Subject) -> None:
    """Wait for the first prediction. Raises Gone, or Wrong with the last response when none is good in time."""
    url, body = protocol.url(running.port), protocol.encode(subject.requests[0])
    deadline, last = time.monotonic() + START_SECONDS, "no answer"
    while time.monotonic() < deadline:
        running.still_there()
        try:
            answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"}, timeout=30)
            if answer.status_code == 200:
                return
            last = f"{answer.status_code} {answer.text[:1000]}"
        except httpx.TransportError as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.1)
    raise Wrong(f"{url}: no good answer within {START_SECONDS} s; the last: {last}")


def check(running: Running, protocol: Protocol, subject: Subject) -> None:
    """Send every request of the subject, concurrently, to detect batching that mixes up its callers.

    Raises Wrong when a score is further than `TOLERANCE` from the native model's.
    """
    if protocol.scores is None:
        return
    limits = httpx.Limits(max_connections=AT_ONCE)
    with httpx.Client(timeout=60, limits=limits) as client, ThreadPoolExecutor(AT_ONCE) as threads:

        def ask(number: int) -> None:
            body = protocol.encode(subject.requests[number])
            answer = client.post(protocol.url(running.port), content=body, headers={"Content-Type": "application/json"})
            if answer.status_code != 200:
                raise Wrong(f"{answer.url}: {answer.status_code} {answer.text[:1000]}")
            assert protocol.scores is not None
            got, wanted = np.asarray(protocol.scores(answer.json())), np.asarray(subject.scores[number])
            if got.shape != wanted.shape or not np.abs(got - wanted).max() <= TOLERANCE:
                raise Wrong(f"{answer.url}: {got[:5]} where the native model predicts {wanted[:5]} (request {number})")

        list(threads.map(ask, range(len(subject.requests))))
