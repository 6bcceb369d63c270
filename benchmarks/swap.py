"""Swaps under load: failed requests, and how soon after Promoted was published the first new answer comes.

`python -m benchmarks.swap` prints a Markdown table. A replica as a process of its own, a real broker, a real MLflow;
small gradient-boosting models of 20 features; clients in another process that ask without a pause between answers but
the one that keeps two cores from being the only thing measured.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads, Version
from support.waiting import eventually

SWAPS = 50
CLIENTS = 4
PAUSE_SECONDS = 0.01
FEATURES = 20
MODEL = "benchmark"
PATH = f"/models/{MODEL}/predict"


def models(uploads: Uploads) -> list[Version]:
    """One more than there are swaps: the first is there before. One fit, but a seed and so a digest of its own each."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(1000, FEATURES)), columns=[f"f{number}" for number in range(FEATURES)])
    label = frame["f0"] + random.normal(size=len(frame)) > 0
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier().fit(frame, label)
    return [
        uploads.version(
            MODEL,
            number,
            estimator.set_params(random_state=number),
            example=frame.head(2),
            roles={"problem": "binary"},
        )
        for number in range(1, SWAPS + 2)
    ]


class Asker:
    """One connection that is kept; a request that fails in any way is a failure."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._body = json.dumps({"rows": [{f"f{number}": 0.1 * number for number in range(FEATURES)}]})

    def ask(self) -> Any:
        """The answer; None for a failure."""
        try:
            self._connection.request("POST", PATH, self._body)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return None
        return answer if response.status == 200 else None


def load(port: int, running: Event, stopping: Event, results: Any) -> None:
    """Runs in a process of its own; puts (seconds of each request, failures)."""
    seconds: list[float] = []
    failures: list[int] = []

    def client() -> None:
        asker = Asker(port)
        while not stopping.is_set():
            started = time.perf_counter()
            if asker.ask() is None:
                failures.append(1)
            seconds.append(time.perf_counter() - started)
            running.set()
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((seconds, len(failures)))


def first_new_answers(port: int, bus: BusClient, order: Sequence[tuple[int, Version]]) -> tuple[list[float], int]:
    """Milliseconds from publishing each promotion to its first answer; failures of the asker."""
    asker, took, failed = Asker(port), [], 0
    for epoch, version in order:
        published = time.perf_counter()
        bus.publish(version.promoted(epoch))
        while True:
            answer = asker.ask()
            failed += answer is None
            if answer is not None and answer["epoch"] == epoch:
                break
        took.append((time.perf_counter() - published) * 1000)
    return took, failed


def measure(name: str, replica: Replica, bus: BusClient, order: Sequence[tuple[int, Version]]) -> None:
    context = multiprocessing.get_context("spawn")
    running, stopping, results = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=load, args=(replica.port, running, stopping, results))
    process.start()
    running.wait(60)
    started = time.perf_counter()
    took, failed = first_new_answers(replica.port, bus, order)
    elapsed = time.perf_counter() - started
    stopping.set()
    seconds, failures = results.get(timeout=60)
    process.join(30)
    p99, request_p99 = (statistics.quantiles(values, n=100)[98] for values in (took, seconds))
    print(
        f"| {name} | {len(order)} | {len(seconds):,} | {failed + failures} | {statistics.median(took):.0f} | {p99:.0f} "
        f"| {statistics.median(seconds) * 1000:.1f} | {request_p99 * 1000:.0f} | {elapsed:.1f} |",
        flush=True,
    )


def main() -> None:
    print(
        "| swap to a version that is | swaps | requests | failed | Promoted → first new answer, p50 ms | p99 ms "
        "| a request, p50 ms | p99 ms | s |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as kafka:
        mlflow = MlflowServer(Path(name) / "mlflow")
        mlflow.start()
        replica = Replica(kafka.bootstrap_servers, "swap.", mlflow.uri, Path(name) / "replica")
        bus = BusClient(kafka.bootstrap_servers, "swap.")
        try:
            replica.start_ready()
            made = models(Uploads(mlflow.uri))
            bus.publish(made[0].promoted(1))
            eventually(lambda: replica.answers_with(MODEL, 1, 1))
            measure("only in MLflow", replica, bus, list(enumerate(made[1:], start=2)))
            measure("on disk", replica, bus, list(enumerate(made[1:], start=102)))
            last = made[-2:] * (SWAPS // 2)
            measure("in memory (rollback)", replica, bus, list(enumerate(last, start=202)))
        finally:
            bus.close()
            replica.stop()
            mlflow.stop()


if __name__ == "__main__":
    main()
