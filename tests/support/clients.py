"""Clients that send one request after the other while a test does something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from support.replica import Replica
from support.versions import ROW


@contextmanager
def repeated(*calls: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
    """Make each call again and again, `pause` seconds apart, in a thread of its own, until the end of the block."""
    stopping = threading.Event()

    def run(call: Callable[[], object]) -> None:
        while not stopping.wait(pause):
            call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)


@dataclass
class Client:
    """Sends requests on a connection of its own, and keeps what came back."""

    replica: Replica
    model_name: str
    connection: httpx.Client
    seen: list[tuple[float, int, dict[str, object]]] = field(default_factory=list)
    """When it was sent, the status, the answer."""

    def send(self) -> None:
        sent = time.monotonic()
        answer = self.connection.post(f"/models/{self.model_name}/predict", json={"rows": [ROW, ROW]})
        self.seen.append((sent, answer.status_code, answer.json()))


@contextmanager
def clients(replica: Replica, model_name: str, count: int, pause: float = 0.0) -> Iterator[list[Client]]:
    """Run so many until the end of the block. `pause`: seconds between the requests of each."""
    with ExitStack() as stack:
        made = [
            Client(replica, model_name, stack.enter_context(httpx.Client(base_url=replica.client.base_url, timeout=30)))
            for _ in range(count)
        ]
        with repeated(*(client.send for client in made), pause=pause):
            yield made
