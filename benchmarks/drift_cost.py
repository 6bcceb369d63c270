"""The cost of drift's intake and of a large window: `python -m benchmarks.drift_cost [--against COMMIT] [PART...]`.

Parts: `intake`, `labels`, `processes`, `window` (default: all). Markdown tables are printed. Intake is that of drift's
consumers and handlers in a process of each build in turn, on a real broker: the events are on the topic before it
starts, so it is how fast a service that fell behind catches up. CPU is of the process, consumer and decoding included;
it depends less than the rate on other load of the machine. `--against` also installs another commit, as `start_cost`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import psutil
from benchmarks.start_cost import HERE, build, remove
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from contracts import Envelope, Event, GroundTruthReceived, Output, PredictionMade, new_envelope
from contracts.cloudevents import encode
from embedded_kafka import EmbeddedKafka

PARTS = ("intake", "labels", "processes", "window")
EVENTS, ROUNDS = 100_000, 3
CARRIERS, ORIGINS = ("UA", "DL", "AA", "B6", "EV"), ("EWR", "JFK", "LGA")
POLICY = "model: {model}\ndrift: {{window: {{rows: 20000}}}}\n"
DEADLINE = 300.0
WINDOW_ROWS, WINDOW_COLUMNS = 1_000_000, 20


def prediction(number: int, model: str, rng: np.random.Generator) -> Envelope[PredictionMade]:
    """A row like those of flights: ten features, 500 bytes of JSON, in requests of 100 rows."""
    event = PredictionMade(
        model_name=model,
        request_id=f"request-{number // 100:08d}",
        row=number % 100,
        entity_id=f"N{number % 4000:05d}",
        features={
            **{name: float(rng.integers(0, 60)) for name in ("hour", "minute", "weekday", "month")},
            **{name: float(rng.normal()) for name in ("distance", "temperature", "wind", "visibility")},
            "carrier": CARRIERS[number % 5],
            "origin": ORIGINS[number % 3],
        },
        champion=Output(model_version=1, score=float(rng.random()), label=1),
        latency_ms=2.5,
    )
    return new_envelope(event, source="serving")


def label(number: int, model: str) -> Envelope[GroundTruthReceived]:
    event = GroundTruthReceived(
        model_name=model, request_id=f"request-{number // 100:08d}", row=number % 100, label=number % 2
    )
    return new_envelope(event, source="serving")


def fill(servers: str, prefix: str, events: Iterator[Envelope[Any]], spread: int = 1) -> None:
    """Publish events; over the partitions by entity where `spread` is more than 1."""
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 20})
    for envelope in events:
        key, value, headers = encode(envelope)
        where = {"partition": crc32(envelope.data.entity_id.encode()) % spread} if spread > 1 else {}
        while True:
            try:
                producer.produce(prefix + envelope.data.topic, key=key, value=value, headers=headers, **where)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(60)


@dataclass(frozen=True)
class Rate:
    """`rows` a second of all processes, and microseconds of CPU a row."""

    rows: float
    cpu: float


class Intake:
    """A process of a build: drift's handlers on its topics (`drift_intake`)."""

    def __init__(self, checkout: Path, servers: str, prefix: str, url: str, folder: Path) -> None:
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        (policies / "flights.yaml").write_text(POLICY.format(model="flights"))
        python, script = checkout / ".venv" / "bin" / "python", HERE / "benchmarks" / "drift_intake.py"
        self.process = subprocess.Popen(
            [str(python), str(script), servers, prefix, url, str(policies)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watched = psutil.Process(self.process.pid)

    def cpu(self) -> float:
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> tuple[float, float]:
        """End it; return how many rows and labels it counted."""
        out, _ = self.process.communicate("", timeout=60)
        rows, labels = map(float, out.split()[-2:])
        return rows, labels


class Group:
    """What drift has handled of a topic: committed offsets, read from the broker, so that it costs drift nothing."""

    def __init__(self, servers: str, prefix: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": f"{prefix}drift.{topic}"})
        known = self._consumer.list_topics(prefix + topic, 30).topics[prefix + topic]
        self._partitions = [TopicPartition(prefix + topic, number) for number in known.partitions]

    def handled(self) -> int:
        try:
            return sum(max(0, found.offset) for found in self._consumer.committed(self._partitions, 30))
        except KafkaException:  # the group is new
            return 0

    def close(self) -> None:
        self._consumer.close()


def catch_up(processes: Sequence[Intake], group: Group, rows: int) -> Rate:
    """Measure from the first rows that are handled to the last."""
    deadline = time.monotonic() + DEADLINE
    while not (first := group.handled()):
        if time.monotonic() > deadline:
            raise SystemExit("nothing was handled")
        time.sleep(0.02)
    began, cpu = time.perf_counter(), sum(each.cpu() for each in processes)
    while group.handled() < rows:
        if time.monotonic() > deadline:
            raise SystemExit(f"{group.handled():,} of {rows:,} messages handled within {DEADLINE:g} s")
        time.sleep(0.05)
    seconds, used = time.perf_counter() - began, sum(each.cpu() for each in processes) - cpu
    return Rate((rows - first) / seconds, used / (rows - first) * 1e6)


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        if kind == "SQLite":
            yield f"sqlite:///{folder / 'drift.db'}"
            return
        from support.postgres import Postgres

        server = Postgres(folder / "postgres")
        stack.callback(server.stop)
        yield server.new_database()


class Bench:
    """A broker, its topics, and the builds to be measured."""

    def __init__(self, kafka: EmbeddedKafka, builds: dict[str, Path], folder: Path, rounds: int) -> None:
        self.kafka, self.builds, self.folder, self.rounds = kafka, builds, folder, rounds
        self._runs = 0

    def topics(self, prefix: str) -> None:
        ensure_topics(
            KafkaSettings(_env_file=None, kafka_bootstrap_servers=self.kafka.bootstrap_servers, topic_prefix=prefix)
        )

    def run(self, kind: str, checkout: Path, prefix: str, event: type[Event], count: int = 1) -> Rate:
        """Run processes on an empty database; their groups begin at the start of the topics."""
        self._runs += 1
        self.forget_groups(prefix)
        folder = self.folder / f"run{self._runs}"
        with database_of(kind, folder) as url:
            group = Group(self.kafka.bootstrap_servers, prefix, event.topic)
            processes = [Intake(checkout, self.kafka.bootstrap_servers, prefix, url, folder) for _ in range(count)]
            try:
                rate = catch_up(processes, group, EVENTS)
            finally:
                group.close()
                counted = [each.stop() for each in processes]
        found = sum(of_process[event is GroundTruthReceived] for of_process in counted)
        if found != EVENTS:
            raise SystemExit(f"{found:,} counted of {EVENTS:,}: some came twice, the rate is wrong")
        return rate

    def forget_groups(self, prefix: str) -> None:
        from kafka import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        try:
            groups = [found for found, *_ in map(_group, admin.list_groups()) if found.startswith(prefix)]
            if groups:
                admin.delete_groups(groups)
        finally:
            admin.close()


def _group(found: Any) -> tuple[str]:
    return (found["group_id"] if isinstance(found, dict) else found[0],)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift_cost", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", default=[])
    parser.add_argument("--against", metavar="COMMIT", help="another build to measure in turns with this one")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args(arguments)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parts = chosen.parts or list(PARTS)
    folder = Path(tempfile.mkdtemp(prefix="gauntlet-drift-cost-"))
    builds = {"this": HERE}
    try:
        if chosen.against:
            print(f"installing {chosen.against}", file=sys.stderr, flush=True)
            builds = {chosen.against: build(chosen.against, folder), **builds}
        if set(parts) - {"window"}:
            with EmbeddedKafka(folder / "kafka") as kafka:
                bench = Bench(kafka, builds, folder, chosen.rounds)
                for part in parts:
                    if part != "window":
                        TABLES[part](bench)
        if "window" in parts:
            window_table(folder)
    finally:
        if chosen.against in builds:
            remove(builds[chosen.against])
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def intake_table(bench: Bench) -> None:
    """New rows, and rows that come a second time."""
    prefix = "intake."
    bench.topics(prefix)
    rng = np.random.default_rng(0)
    fill(bench.kafka.bootstrap_servers, prefix, (prediction(number, "flights", rng) for number in range(EVENTS)))
    print(f"\n{EVENTS:,} rows of one model, median of {bench.rounds} rounds\n")
    print("| database | build | rows/s | CPU, µs a row |")
    print("|---|---|--:|--:|")
    _builds_in_turns(bench, prefix, PredictionMade)


def labels_table(bench: Bench) -> None:
    """Labels of rows that are there."""
    prefix = "labels."
    bench.topics(prefix)
    rng = np.random.default_rng(0)
    servers = bench.kafka.bootstrap_servers
    fill(servers, prefix, (prediction(number, "flights", rng) for number in range(EVENTS)))
    fill(servers, prefix, (label(number, "flights") for number in range(EVENTS)))
    print(
        f"\n{EVENTS:,} labels by request, while the rows come too: both are counted; median of {bench.rounds} rounds\n"
    )
    print("| database | build | labels/s | CPU, µs a row and its label |")
    print("|---|---|--:|--:|")
    _builds_in_turns(bench, prefix, GroundTruthReceived)


def processes_table(bench: Bench) -> None:
    """Rows of one model on all partitions, taken by one process and by two."""
    prefix = "spread."
    bench.topics(prefix)
    rng = np.random.default_rng(0)
    events = (prediction(number, "flights", rng) for number in range(EVENTS))
    fill(bench.kafka.bootstrap_servers, prefix, events, spread=6)
    print(f"\n{EVENTS:,} rows of one model on 6 partitions, median of {bench.rounds} rounds\n")
    print("| database | processes | rows/s | CPU, µs a row |")
    print("|---|---|--:|--:|")
    made = partial(bench.run, checkout=HERE, prefix=prefix, event=PredictionMade)
    _in_turns(bench, {str(count): partial(made, count=count) for count in (1, 2)})


def window_table(folder: Path) -> None:
    """A process of its own fills a window, then another judges it: its peak memory is of the judging."""
    print(f"\nA window of {WINDOW_ROWS:,} rows and {WINDOW_COLUMNS} columns, SQLite\n")
    print("| step | s | CPU, s | more memory, MiB |")
    print("|---|--:|--:|--:|")
    for step in ("fill", "judge"):
        command = [sys.executable, "-m", "benchmarks.drift_window", step, str(folder / "window.db")]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        print(done.stdout.strip(), flush=True)


TABLES: dict[str, Callable[[Bench], None]] = {
    "intake": intake_table,
    "labels": labels_table,
    "processes": processes_table,
}


def _builds_in_turns(bench: Bench, prefix: str, event: type[Event]) -> None:
    runs = {
        name: partial(bench.run, checkout=checkout, prefix=prefix, event=event)
        for name, checkout in bench.builds.items()
    }
    _in_turns(bench, runs)


def _in_turns(bench: Bench, runs: dict[str, Callable[[str], Rate]]) -> None:
    """Print the rates of each run, by the kind of database that it is given: one round of all after the other."""
    for kind in ("SQLite", "PostgreSQL"):
        rates: dict[str, list[Rate]] = {name: [] for name in runs}
        for _ in range(bench.rounds):
            for name, run in runs.items():
                rates[name].append(run(kind))
                print(f"  {kind} {name}: {rates[name][-1]}", file=sys.stderr, flush=True)
        _print(kind, rates)


def _print(kind: str, rates: dict[str, list[Rate]]) -> None:
    medians = {name: statistics.median(rate.rows for rate in found) for name, found in rates.items()}
    for name, found in rates.items():
        rows = [rate.rows for rate in found]
        cpu = statistics.median(rate.cpu for rate in found)
        print(f"| {kind} | {name} | {medians[name]:,.0f} ({min(rows):,.0f} to {max(rows):,.0f}) | {cpu:.0f} |")
    if len(medians) > 1:
        first, last = list(medians.values())
        before, after = (statistics.median(rate.cpu for rate in found) for found in rates.values())
        print(f"| {kind} | ratio | {last / first:.2f} | {after / before:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
