"""Swaps under load: failed requests, time from publishing Promoted to the new version's first response, the effect of
loading a model of 100 MB on another's responses, and whether memory stays flat.

`python -m benchmarks.swap [--swaps 1000]` prints Markdown tables. A replica as a separate process, a real broker, a
real MLflow; small gradient-boosting models of 20 features, and a forest of 100 MB.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import psutil
from benchmarks.asking import FEATURES, Asker, asking, p99
from benchmarks.elsewhere import elsewhere
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from threadpoolctl import threadpool_limits

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads, Version
from support.waiting import eventually

VERSIONS = 50
MODEL, FOREST = "benchmark", "forest"
MEMORY_SWAPS, ENDS = 200, 20
FOREST_TREES, FOREST_ROWS, FOREST_LOADS = 235, 20_000, 3
STEADY_SECONDS = 10.0
GOLDEN = 32
"""Rows in each version's serving artifact, as after the gate."""
MEBIBYTE = 2**20


def rows(count: int) -> tuple[pd.DataFrame, pd.Series[Any]]:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(count, FEATURES)), columns=[f"f{number}" for number in range(FEATURES)])
    return frame, frame["f0"] + random.normal(size=len(frame)) > 0


def versions(uploads: Uploads, model: str, estimator: Any, example: pd.DataFrame, count: int) -> list[Version]:
    """Make versions of one fit, each with its own seed and so its own digest."""
    return [
        uploads.version(
            model,
            number,
            estimator.set_params(random_state=number),
            example=example.head(2),
            golden=example,
            roles={"problem": "binary"},
        )
        for number in range(1, count + 1)
    ]


def small(uploads: Uploads) -> list[Version]:
    """Make one more than the swaps from MLflow: the first is loaded before."""
    frame, label = rows(1000)
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier().fit(frame, label)
    return versions(uploads, MODEL, estimator, frame.head(GOLDEN), VERSIONS + 1)


def forests(uploads: Uploads) -> tuple[list[Version], int]:
    """Return the versions, and the bytes of one."""
    frame, label = rows(FOREST_ROWS)
    forest = RandomForestClassifier(FOREST_TREES, n_jobs=2, random_state=0).fit(frame, label).set_params(n_jobs=1)
    return versions(uploads, FOREST, forest, frame.head(GOLDEN), FOREST_LOADS), len(cloudpickle.dumps(forest))


@dataclass
class Bench:
    replica: Replica
    bus: BusClient
    forest_bytes: int = 0
    epochs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lines: list[str] = field(default_factory=list)
    """Targets and whether they were reached."""

    def promote(self, version: Version) -> int:
        epoch = next(self.epochs)
        self.bus.publish(version.promoted(epoch))
        return epoch

    def first_new_answers(
        self, order: Sequence[Version], after_each: Callable[[], None] = lambda: None
    ) -> tuple[list[float], int]:
        """Return milliseconds from publishing each promotion to its first response, and failed requests."""
        asker, took, failed = Asker(self.replica.port, MODEL), [], 0
        for version in order:
            published = time.perf_counter()
            epoch = self.promote(version)
            while True:
                answer = asker.ask()
                failed += answer is None
                if answer is not None and answer["epoch"] == epoch:
                    break
            took.append((time.perf_counter() - published) * 1000)
            after_each()
        return took, failed

    def swaps(self, name: str, order: Sequence[Version]) -> None:
        with asking(self.replica.port, MODEL) as requests:
            started = time.perf_counter()
            took, failed = self.first_new_answers(order)
            elapsed = time.perf_counter() - started
        failed, each = failed + requests.failed, requests.milliseconds
        print(
            f"| {name} | {len(order)} | {len(each):,} | {failed} | {statistics.median(took):.0f} | {p99(took):.0f} "
            f"| {statistics.median(each):.1f} | {p99(each):.0f} | {elapsed:.1f} |",
            flush=True,
        )
        self.wanted(f"failed requests, {len(order)} swaps to a version {name}", failed, 0)
        if name == "on disk":
            self.wanted("Promoted → first new answer, p50 ms, on disk", statistics.median(took), 100)
            self.wanted("Promoted → first new answer, p99 ms, on disk", p99(took), 300)

    def loading(self, made: Sequence[Version], load_elsewhere: Callable[[Version], None]) -> None:
        """Measure the small model's responses while the forest is fetched from MLflow and loaded, twice.

        Before that, while another process does the same: the baseline of a machine of two cores.
        """
        spans: list[tuple[float, float]] = []
        with asking(self.replica.port, MODEL) as requests:
            begun = time.perf_counter()
            time.sleep(STEADY_SECONDS)  # this time is the measurement, not a wait for a condition
            there = time.perf_counter()
            for version in made:
                load_elsewhere(version)
            here = time.perf_counter()
            for version in made:
                start = time.perf_counter()
                epoch = self.promote(version)
                eventually(lambda: self.replica.answers_with(FOREST, version.model_version, epoch), 300)  # noqa: B023
                spans.append((start, time.perf_counter()))
            time.sleep(STEADY_SECONDS)
            ended = time.perf_counter()
        phases = {
            "before": (begun, there),
            "by another process": (there, here),
            **{f"load {number}": span for number, span in enumerate(spans, start=1)},
            "all loads": (spans[0][0], spans[-1][1]),
            "after": (spans[-1][1], ended),
        }
        what = f"a forest of {self.forest_bytes / 1e6:.0f} MB is loaded"
        print(f"\n| {what} | s | requests | failed | p50 ms | p99 ms | slowest ms |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        found: dict[str, float] = {}
        for name, (start, end) in phases.items():
            during = requests.between(start, end)
            each = during.milliseconds
            found[name] = p99(each)
            figures = f"{statistics.median(each):.1f} | {found[name]:.0f} | {max(each):.0f}"
            print(f"| {name} | {end - start:.1f} | {len(each):,} | {during.failed} | {figures} |", flush=True)
        self.wanted("p99 while the forest loads ÷ before", found["all loads"] / found["before"], 1.5)
        self.wanted("the same, loaded by another process", found["by another process"] / found["before"], 1.5)

    def memory(self, order: Sequence[Version]) -> None:
        """Measure resident memory of the replica and its workers after each swap."""
        assert self.replica.process is not None
        replica = psutil.Process(self.replica.process.pid)
        resident: list[float] = []

        def note() -> None:
            processes = [replica, *replica.children(recursive=True)]
            resident.append(sum(process.memory_info().rss for process in processes) / MEBIBYTE)

        with asking(self.replica.port, MODEL):
            self.first_new_answers(order, note)
        first, last = statistics.median(resident[:ENDS]), statistics.median(resident[-ENDS:])
        print(f"\n| swaps | resident MiB, median of the first {ENDS} | of the last {ENDS} | highest | growth |")
        print("|--:|--:|--:|--:|--:|")
        growth = (last / first - 1) * 100
        print(f"| {len(order)} | {first:.0f} | {last:.0f} | {max(resident):.0f} | {growth:+.1f} % |", flush=True)
        self.wanted(f"resident memory over {len(order)} swaps, % of change", abs(growth), 5)

    def wanted(self, what: str, got: float, limit: float) -> None:
        verdict = "reached" if got <= limit else f"missed by {got - limit:.3g}"
        self.lines.append(f"| {what} | ≤ {limit:g} | {got:.3g} | {verdict} |")


def measure(bench: Bench, uploads: Uploads, swaps: int, load_elsewhere: Callable[[Version], None]) -> None:
    made, (big, bench.forest_bytes) = small(uploads), forests(uploads)
    epoch = bench.promote(made[0])
    eventually(lambda: bench.replica.answers_with(MODEL, 1, epoch))
    print(
        "| swap to a version that is | swaps | requests | failed | Promoted → first new answer, p50 ms | p99 ms "
        "| a request, p50 ms | p99 ms | s |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    on_disk, in_memory = itertools.cycle(made[1:]), itertools.cycle(made[-2:])
    bench.swaps("only in MLflow", made[1:])
    bench.swaps("on disk", list(itertools.islice(on_disk, swaps)))
    bench.first_new_answers(made[-2:])
    bench.swaps("in memory (rollback)", list(itertools.islice(in_memory, swaps)))
    bench.memory(list(itertools.islice(on_disk, MEMORY_SWAPS)))
    bench.loading(big, load_elsewhere)
    print("\n| | wanted | measured | |\n|---|--:|--:|---|")
    print("\n".join(bench.lines), flush=True)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=__doc__)
    parser.add_argument("--swaps", type=int, default=50, help="to versions on disk, as many in memory (default: 50)")
    swaps = parser.parse_args(arguments).swaps
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as kafka:
        mlflow = MlflowServer(Path(name) / "mlflow")
        mlflow.start()
        replica = Replica(kafka.bootstrap_servers, "swap.", mlflow.uri, Path(name) / "replica")
        bus = BusClient(kafka.bootstrap_servers, "swap.")
        try:
            replica.start_ready()
            with elsewhere(Path(name) / "elsewhere", mlflow.uri) as load_elsewhere:
                measure(Bench(replica, bus), Uploads(mlflow.uri), swaps, load_elsewhere)
        finally:
            bus.close()
            replica.stop()
            mlflow.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
