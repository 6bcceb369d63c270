"""Clients that send one request after the other while a test does something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from support.replica import Replica
from support.versions import ROW


@dataclass
class Client:
    """Sends one request after the other until told to stop, and keeps what came back."""

    replica: Replica
    model_name: str
    stopping: threading.Event
    seen: list[tuple[float, int, dict[str, object]]] = field(default_factory=list)
    """When it was sent, the status, the answer."""

    def run(self) -> None:
        with httpx.Client(base_url=self.replica.client.base_url, timeout=30) as client:
            while not self.stopping.is_set():
                sent = time.monotonic()
                answer = client.post(f"/models/{self.model_name}/predict", json={"rows": [ROW, ROW]})
                self.seen.append((sent, answer.status_code, answer.json()))


@contextmanager
def clients(replica: Replica, model_name: str, count: int) -> Iterator[list[Client]]:
    """Run so many until the end of the block."""
    stopping = threading.Event()
    made = [Client(replica, model_name, stopping) for _ in range(count)]
    threads = [threading.Thread(target=client.run) for client in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
