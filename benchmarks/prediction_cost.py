"""The cost of publishing PredictionMade in a replica's throughput.

`python -m benchmarks.prediction_cost [--pairs 10] [--seconds 3]` prints a Markdown table. Two replicas of one model run
side by side, one of them publishes; the load alternates between them, in pairs of alternating order. The ratio is
taken within each pair, so that a machine that is slow for a minute slows both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from pathlib import Path

import httpx
from benchmarks.serving import protocols, wrk
from benchmarks.serving.own import Gauntlet, Surroundings, surroundings
from benchmarks.serving.subjects import BATCH_ROWS, Subject, subjects

LOADS = ((1, 64), (BATCH_ROWS, 16))
"""Rows per request, connections."""
WARM_UP_SECONDS = 5.0
PUBLISHED = "gauntlet_serving_predictions_published_total"
DROPPED = "gauntlet_serving_predictions_dropped_total"


@dataclass(frozen=True)
class Pair:
    publishing: wrk.Measured
    quiet: wrk.Measured

    @property
    def ratio(self) -> float:
        return self.publishing.rate / self.quiet.rate


def counted(port: int, name: str) -> float:
    """Return the sum of a counter over its labels."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))


def measured(publishing: int, quiet: int, body: Path, connections: int, pairs: int, seconds: float) -> list[Pair]:
    """Measure the replicas on these ports."""
    sides = [partial(wrk.run, protocols.OWN.url(port), body, connections, seconds) for port in (publishing, quiet)]
    found = []
    for pair in starmap(Pair, wrk.in_turns(*sides, pairs)):
        found.append(pair)
        print(f"  pair {len(found)}: {pair.ratio:.3f}", file=sys.stderr, flush=True)
    return found


def line(subject: Subject, rows: int, connections: int, pairs: Sequence[Pair], published: float, dropped: float) -> str:
    ratios = sorted(pair.ratio for pair in pairs)
    sides = [wrk.typical([pair.publishing for pair in pairs]), wrk.typical([pair.quiet for pair in pairs])]
    cells = [
        subject.name,
        f"{rows} row{'s' if rows > 1 else ''}, {connections} conn.",
        *(f"{side.rate:,.0f}" for side in sides),
        *(f"{side.p99:.1f}" for side in sides),
        f"{statistics.median(ratios):.3f}",
        f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
        f"{dropped / max(1.0, dropped + published):.1%}",
    ]
    return "| " + " | ".join(cells) + " |"


def run(subject: Subject, around: Surroundings, pairs: int, seconds: float) -> None:
    ours = {"": protocols.OWN}
    with (
        Gauntlet("publishing", ours, True, around).running(subject, 1) as publishing,
        Gauntlet("quiet", ours, False, around).running(subject, 1) as quiet,
    ):
        for rows, connections in LOADS:
            body = protocols.OWN.written(around.folder / f"{rows}.jsonl", subject.sized(rows))
            for port in (publishing.port, quiet.port):
                wrk.run(protocols.OWN.url(port), body, connections, WARM_UP_SECONDS)
            before = [counted(publishing.port, name) for name in (PUBLISHED, DROPPED)]
            found = measured(publishing.port, quiet.port, body, connections, pairs, seconds)
            after = [counted(publishing.port, name) for name in (PUBLISHED, DROPPED)]
            print(line(subject, rows, connections, found, after[0] - before[0], after[1] - before[1]), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction_cost")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3, help="of each half of a pair (default: 3)")
    chosen = parser.parse_args()
    wrk.required()
    print(
        "| model | load | req/s, publishing | req/s, not | p99 ms, publishing | p99 ms, not "
        "| ratio, median of pairs | from–to | events dropped |\n|---|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    with surroundings() as around:
        for subject in subjects(around.folder / "models"):
            run(subject, around, chosen.pairs, chosen.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
