"""What a rollout costs the requests of a replica, and what they notice of two hundred rollouts.

`python -m benchmarks.rollout_cost [--models compiled] [--rollouts 200]` prints Markdown tables. Two replicas of
one model run side by side; in one of them a version is tried; the load alternates between them, in pairs of
alternating order, and ratios are taken within each pair. Then small versions are tried, promoted, aborted and rolled
back under load.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from pathlib import Path

import pandas as pd
from benchmarks.asking import Asker, asking, p99
from benchmarks.serving import protocols, wrk
from benchmarks.serving.own import Surroundings, replica_of, surroundings
from benchmarks.serving.subjects import BATCH_ROWS, COMPILABLE, Subject, subjects
from benchmarks.swap import GOLDEN, rows, versions
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from contracts import Mode, Result, Stage
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import Uploads, Version
from support.waiting import eventually

LOADS = ((1, 64), (BATCH_ROWS, 16))
"""Rows per request, connections."""
MODES = ((Mode.SHADOW, 0.0), (Mode.SPLIT, 0.1))
WARM_UP_SECONDS = 5.0
MODEL, BENCH = "benchmark", "bench"
ENDS = ("promoted and rolled back", "aborted", "promoted")


@dataclass(frozen=True)
class Pair:
    trying: wrk.Measured
    plain: wrk.Measured


def cost(subject: Subject, around: Surroundings, pairs: int, seconds: float) -> None:
    """Measure a shadow and a canary of a version that is the champion's twin."""
    uploads = Uploads(around.tracking_uri)
    twins = [uploads.folder(BENCH, number, subject.folder, subject.digest) for number in (1, 2)]
    if subject.name == COMPILABLE:
        golden = pd.DataFrame(subject.sized(BATCH_ROWS)[0])
        twins = [uploads.compiled(twin, subject.folder, golden) for twin in twins]
    with ExitStack() as stack:
        found = [stack.enter_context(replica_of(around, name)) for name in ("trying", "plain")]
        for replica, bus in found:
            bus.publish(twins[0].promoted(1))
            eventually(lambda: replica.answers_with(BENCH, 1, 1), timeout=120)  # noqa: B023
            eventually(lambda: replica.model(BENCH).get("form") is not None, timeout=60)  # noqa: B023
        (trying, bus), (plain, _) = found
        for revision, (mode, share) in enumerate(MODES, start=1):
            bus.publish(twins[1].rollout(revision, champion_epoch=1, mode=mode, share=share))
            eventually(lambda: trying.tries(BENCH, 2, revision), timeout=120)  # noqa: B023
            print(f"  {mode}: {trying.rollout(BENCH)}", file=sys.stderr, flush=True)
            for size, connections in LOADS:
                body = protocols.OWN.written(around.folder / f"{size}.jsonl", subject.sized(size))
                sides = [
                    partial(wrk.run, protocols.OWN.url(port), body, connections, seconds)
                    for port in (trying.port, plain.port)
                ]
                for port in (trying.port, plain.port):
                    wrk.run(protocols.OWN.url(port), body, connections, WARM_UP_SECONDS)
                measured = [Pair(*pair) for pair in wrk.in_turns(*sides, pairs)]
                name = f"{mode} {share:.0%}" if share else str(mode)
                print(line(subject, name, size, connections, measured), flush=True)


def line(subject: Subject, name: str, size: int, connections: int, pairs: Sequence[Pair]) -> str:
    sides = [wrk.typical([pair.trying for pair in pairs]), wrk.typical([pair.plain for pair in pairs])]
    rates = sorted(pair.trying.rate / pair.plain.rate for pair in pairs)
    tails = [pair.trying.p99 / pair.plain.p99 for pair in pairs]
    cells = [
        subject.name,
        name,
        f"{size} row{'s' if size > 1 else ''}, {connections} conn.",
        *(f"{side.rate:,.0f}" for side in sides),
        *(f"{side.p99:.1f}" for side in sides),
        f"{statistics.median(rates):.3f} ({rates[0]:.2f}–{rates[-1]:.2f})",
        f"{statistics.median(tails):.2f}",
        str(sides[0].failed + sides[1].failed),
    ]
    return "| " + " | ".join(cells) + " |"


@dataclass
class Life:
    """Rollouts of one model, one after another; `back`: milliseconds from a published rollback to its first answer."""

    replica: Replica
    bus: BusClient
    epochs: Iterator[int] = field(default_factory=lambda: count(1))
    revisions: Iterator[int] = field(default_factory=lambda: count(1))
    epoch: int = 0
    back: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)

    def promote(self, version: Version) -> float:
        """Publish a promotion; return milliseconds until its first answer."""
        self.epoch = next(self.epochs)
        asker = Asker(self.replica.port, MODEL)
        published = time.perf_counter()
        self.bus.publish(version.promoted(self.epoch))
        while True:
            answer = asker.ask()
            if answer is not None and answer["epoch"] == self.epoch:
                return (time.perf_counter() - published) * 1000

    def step(self, tried: Version, mode: Mode, share: float = 0.0, **more: object) -> None:
        revision = next(self.revisions)
        event = tried.rollout(revision, champion_epoch=self.epoch, mode=mode, share=share, **more)
        self.bus.publish(event)
        if event.result is None:
            eventually(lambda: self.replica.tries(MODEL, tried.model_version, revision), timeout=60)

    def rollout(self, champion: Version, challenger: Version, end: str) -> Version:
        """Try a challenger in a shadow and a canary, and end that as `end` says; return the champion afterwards."""
        self.step(challenger, Mode.SHADOW)
        self.step(challenger, Mode.SPLIT, 0.1)
        self.step(challenger, Mode.SPLIT, 0.5)
        if end == "aborted":
            self.step(challenger, Mode.OFF, stage=Stage.ENDED, result=Result.ABORTED)
            return champion
        self.forward.append(self.promote(challenger))
        self.step(champion, Mode.SHADOW, stage=Stage.WATCH)
        if end == "promoted":
            self.step(champion, Mode.OFF, stage=Stage.ENDED, result=Result.PROMOTED)
            return challenger
        self.back.append(self.promote(champion))
        self.step(challenger, Mode.OFF, stage=Stage.ENDED, result=Result.ROLLED_BACK)
        return champion


def lives(around: Surroundings, rollouts: int) -> None:
    frame, label = rows(1000)
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier().fit(frame, label)
    made = versions(Uploads(around.tracking_uri), MODEL, estimator, frame.head(GOLDEN), 6)
    with replica_of(around, "lives") as (replica, bus):
        life, champion = Life(replica, bus), made[0]
        bus.publish(champion.promoted(next(life.epochs)))
        life.epoch = 1
        eventually(lambda: replica.answers_with(MODEL, 1, 1), timeout=60)
        with asking(replica.port, MODEL) as requests:
            for number, end in zip(range(rollouts), cycle(ENDS), strict=False):
                others = [version for version in made if version is not champion]
                champion = life.rollout(champion, others[number % len(others)], end)
    each = requests.milliseconds
    print(
        "\n| rollouts | requests | failed | a request, p50 ms | p99 ms | promoted → first answer, p50 ms | p99 ms "
        "| rolled back → first answer, p50 ms | p99 ms |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    print(
        f"| {rollouts} | {len(each):,} | {requests.failed} | {statistics.median(each):.1f} | {p99(each):.0f} "
        f"| {statistics.median(life.forward):.0f} | {p99(life.forward):.0f} "
        f"| {statistics.median(life.back):.0f} | {p99(life.back):.0f} |",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3, help="of each half of a pair (default: 3)")
    parser.add_argument("--models", default="compiled,native", help="compiled, native, or both (default)")
    parser.add_argument("--rollouts", type=int, default=200, help="0 leaves them out (default: 200)")
    chosen = parser.parse_args()
    wrk.required()
    with surroundings() as around:
        if chosen.pairs:
            print(
                "| model | rollout | load | req/s, trying | req/s, not | p99 ms, trying | p99 ms, not "
                "| ratio of req/s, median of pairs (from–to) | ratio of p99 | failed |\n"
                "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
                flush=True,
            )
            for subject in subjects(Path(around.folder) / "models"):
                if ("compiled" if subject.name == COMPILABLE else "native") in chosen.models.split(","):
                    cost(subject, around, chosen.pairs, chosen.seconds)
        if chosen.rollouts:
            lives(around, chosen.rollouts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
