"""100,000 hostile requests to a replica: no 5xx but 503, memory bounded, good requests served throughout.

`python -m benchmarks.hostile [--requests 100000] [--connections 32] [--seed 0] [--workers 1] [--only 'deep JSON']`
prints Markdown tables; the exit code is 1 when the promise is broken. A replica as a process of its own, a real broker,
a real MLflow.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import psutil
from benchmarks.asking import Asker, Requests, asking, p99
from benchmarks.hostile.bodies import COLUMNS, MODEL, Case
from benchmarks.hostile.corpus import CLASSES
from benchmarks.hostile.sending import Tally, send_all
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads
from support.waiting import eventually

MEBIBYTE = 2**20
BOUND_MEBIBYTES = 1536
"""Most growth of a worker's memory: SERVING_MAX_HELD_BYTES (256 MiB), and a body of 16 MiB once parsed."""
SAMPLE_SECONDS = 0.02
SLOW = "slow clients"
BODY_SECONDS = 5
"""Timeout of the replica for a body, below the default of 30."""


@dataclass
class Memory:
    """Resident memory of a process and of what it started, MiB."""

    process: psutil.Process
    before: float = 0.0
    peak: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    def processes(self) -> set[psutil.Process]:
        return {self.process, *self.process.children(recursive=True)}

    def now(self) -> float:
        return sum(process.memory_info().rss for process in self.processes()) / MEBIBYTE

    def watch(self) -> None:
        while not self.stopping.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.now())

    def __enter__(self) -> Memory:
        self.before = self.peak = self.now()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()


def shuffled(random: Random, names: Sequence[str], share: float) -> Iterator[tuple[str, Case]]:
    """Yield each class's number of requests in random order, generated when sent."""
    order = [name for name in names for _ in range(max(1, round(CLASSES[name][1] * share)))]
    random.shuffle(order)
    for name in order:
        yield name, CLASSES[name][0](random)


def attack(port: int, names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Tally]:
    """Send the requests; slow clients have separate connections, since they would block all others."""
    tallies, share = {name: Tally() for name in names}, arguments.requests / 100_000
    quick = shuffled(Random(arguments.seed), [name for name in names if name != SLOW], share)
    slow = shuffled(Random(arguments.seed + 1), [name for name in names if name == SLOW], share)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_all(port, quick, arguments.connections, tallies))
            group.create_task(send_all(port, slow, arguments.connections, tallies))

    asyncio.run(both())
    return tallies


def show(tallies: dict[str, Tally]) -> None:
    print("| hostile requests | sent | answered with | closed without an answer | neither within 90 s |")
    print("|---|--:|---|--:|--:|")
    for name, tally in tallies.items():
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(tally.statuses.items()))
        print(f"| {name} | {tally.cases:,} | {statuses} | {tally.no_reply:,} | {tally.timeouts:,} |")
    print(f"| all | {sum(tally.cases for tally in tallies.values()):,} | | | |", flush=True)


def verdict(
    tallies: dict[str, Tally], memory: Memory, bound: float, after: float, good: Requests, same: bool, alive: bool
) -> bool:
    """Print the results; return whether the promise was kept. `bound`: MiB by which memory may have grown."""
    wrong = [each for tally in tallies.values() for each in tally.wrong]
    for request, answer in wrong[:5]:
        print(f"\n5xx for {request[:300]!r}\n→ {answer!r}", file=sys.stderr)
    grown = memory.peak - memory.before
    lines: list[tuple[str, Any, str, bool]] = [
        ("5xx other than 503", len(wrong), "0", not wrong),
        ("hostile requests with neither answer nor close", sum(each.timeouts for each in tallies.values()), "0", True),
        ("RSS before, MiB", round(memory.before), "", True),
        ("RSS at its peak, MiB", round(memory.peak), f"before + {bound:,}", grown <= bound),
        ("RSS after, MiB", round(after), "", True),
        ("good requests meanwhile", f"{len(good.asked):,}", "", bool(good.asked)),
        ("of them failed", good.failed, "0", not good.failed),
        ("p99 of the good requests, ms", round(p99(good.milliseconds)), "", True),
        ("the slowest, ms", round(max(good.milliseconds)), "", True),
        ("its processes are those that were there before", alive, "True", alive),
        ("the same answer as before", same, "True", same),
    ]
    print("\n| | measured | wanted |\n|---|--:|--:|")
    for what, measured, wanted, _ in lines:
        print(f"| {what} | {measured} | {wanted} |", flush=True)
    return all(kept for *_, kept in lines)


def measure(replica: Replica, arguments: argparse.Namespace) -> bool:
    assert replica.process is not None
    asker, names = Asker(replica.port, MODEL), arguments.only or list(CLASSES)
    before = asker.ask()
    memory = Memory(psutil.Process(replica.process.pid))
    there = memory.processes()
    began = time.perf_counter()
    with memory, asking(replica.port, MODEL) as good:
        tallies = attack(replica.port, names, arguments)
        seconds = time.perf_counter() - began
    after, last = memory.now(), Asker(replica.port, MODEL).ask()
    print(f"{arguments.connections} connections, and as many slow ones; {seconds:.0f} s; seed {arguments.seed}\n")
    show(tallies)
    same = last is not None and last["predictions"] == before["predictions"]
    bound = arguments.workers * BOUND_MEBIBYTES
    return verdict(tallies, memory, bound, after, good, same, there <= memory.processes())


def model(uploads: Uploads) -> Any:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(1000, len(COLUMNS))), columns=COLUMNS)
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier().fit(frame, frame["f0"] > 0)
    return uploads.version(MODEL, 1, estimator, example=frame.head(2), roles={"problem": "binary"})


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="SERVING_WORKERS")
    parser.add_argument("--only", nargs="*", choices=list(CLASSES), metavar="CLASS", help=", ".join(CLASSES))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as kafka:
        mlflow = MlflowServer(Path(name) / "mlflow")
        mlflow.start()
        env = {"SERVING_BODY_SECONDS": str(BODY_SECONDS), "SERVING_WORKERS": str(options.workers)}
        replica = Replica(kafka.bootstrap_servers, "hostile.", mlflow.uri, Path(name) / "replica", env=env)
        bus = BusClient(kafka.bootstrap_servers, "hostile.")
        try:
            replica.start_ready()
            bus.publish(model(Uploads(mlflow.uri)).promoted(1))
            eventually(lambda: replica.answers_with(MODEL, 1, 1))
            kept = measure(replica, options)
            kept &= "Traceback" not in replica.log.read_text(errors="replace")
        finally:
            bus.close()
            replica.stop()
            mlflow.stop()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
