"""Clients of a replica in a separate process. They send requests back to back, with only a pause that keeps two cores
from being the only thing measured."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

CLIENTS = 4
PAUSE_SECONDS = 0.01
FEATURES = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `started` is by time.perf_counter, which all processes of a machine share."""

    started: float
    seconds: float
    failed: bool


class Asker:
    """One persistent connection; a request that fails in any way counts as a failure."""

    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._path = f"/models/{model}/predict"
        self._body = json.dumps({"rows": [{f"f{number}": 0.1 * number for number in range(FEATURES)}]})

    def ask(self) -> Any:
        """Return the response; None for a failure."""
        try:
            self._connection.request("POST", self._path, self._body)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return None
        return answer if response.status == 200 else None


def load(port: int, model: str, running: Event, stopping: Event, results: Any) -> None:
    """Send requests, in a separate process; put every request as (started, seconds, failed)."""
    asked: list[tuple[float, float, bool]] = []

    def client() -> None:
        asker = Asker(port, model)
        while not stopping.is_set():
            started = time.perf_counter()
            failed = asker.ask() is None
            asked.append((started, time.perf_counter() - started, failed))
            running.set()
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(asked)


@dataclass
class Requests:
    """Complete once the block of `asking` has ended."""

    asked: list[Asked] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.asked)

    def between(self, start: float, end: float) -> Requests:
        """Return the requests that were in flight at some moment between the two."""
        return Requests([each for each in self.asked if each.started < end and each.started + each.seconds > start])

    @property
    def milliseconds(self) -> list[float]:
        return [each.seconds * 1000 for each in self.asked]


@contextmanager
def asking(port: int, model: str) -> Iterator[Requests]:
    """Send requests while the block runs; it starts with the first response."""
    context = multiprocessing.get_context("spawn")
    running, stopping, results = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=load, args=(port, model, running, stopping, results), daemon=True)
    process.start()
    requests = Requests()
    try:
        if not running.wait(60):
            raise RuntimeError("the clients had no answer within 60 s")
        yield requests
        stopping.set()
        requests.asked.extend(Asked(*each) for each in results.get(timeout=60))
        process.join(30)
    finally:
        process.terminate()


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]
