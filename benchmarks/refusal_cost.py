"""The cost of rejecting a request with a reason, compared with serving a valid one.

`python -m benchmarks.refusal_cost [--pairs 4] [--seconds 2]` prints a Markdown table. One replica; the load sends
valid and faulty requests, in pairs of alternating order. The ratio is taken within each pair.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from benchmarks.serving import protocols, wrk
from benchmarks.serving.own import Gauntlet, Surroundings, surroundings
from benchmarks.serving.subjects import BATCH_ROWS, CATEGORIES, NUMBERS, Rows, subjects

LOADS = ((1, 64), (BATCH_ROWS, 16))
"""Rows per request, connections."""
WARM_UP_SECONDS = 3.0

FAULTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a word for a number": lambda row: row | {NUMBERS[3]: "far"},
    "a field is missing": lambda row: {name: value for name, value in row.items() if name != NUMBERS[3]},
    "a field is misspelt": lambda row: {"f-3" if name == NUMBERS[3] else name: value for name, value in row.items()},
    "a field that is not known": lambda row: row | {"colour": "blue"},
    "every field is wrong": lambda row: dict.fromkeys((*NUMBERS, *CATEGORIES), ()),
}
"""Changes to the last row of a request."""


def faulty(request: Rows, fault: str) -> Rows:
    return [*request[:-1], FAULTS[fault](request[-1])]


def refused_with(url: str, request: Rows) -> str:
    """Return the response's detail. Raises RuntimeError when it is no refusal."""
    answer = httpx.post(url, content=protocols.OWN.encode(request))
    if answer.status_code != 422:
        raise RuntimeError(f"{answer.status_code} instead of 422: {answer.text[:500]}")
    return str(answer.json()["detail"])


def compared(
    url: str, good: Path, bad: Path, connections: int, pairs: int, seconds: float
) -> list[tuple[float, float]]:
    """Return good responses and refusals per second, of each pair. Raises RuntimeError on unexpected responses."""
    sides = [partial(wrk.run, url, bodies, connections, seconds) for bodies in (good, bad)]
    found = []
    for answered, refused in wrk.in_turns(*sides, pairs):
        if answered.failed or refused.rate:
            raise RuntimeError(f"{answered.failed} good requests failed, {refused.rate}/s faulty ones did not")
        found.append((answered.rate, refused.failed / seconds))
    return found


def run(around: Surroundings, pairs: int, seconds: float) -> None:
    subject = subjects(around.folder / "models")[0]
    with Gauntlet("one", {"": protocols.OWN}, False, around).running(subject, 1) as replica:
        url = protocols.OWN.url(replica.port)
        for rows, connections in LOADS:
            requests = subject.sized(rows)
            good = protocols.OWN.written(around.folder / "good.jsonl", requests)
            wrk.run(url, good, connections, WARM_UP_SECONDS)
            for fault in FAULTS:
                print(f"  {rows}: {refused_with(url, faulty(requests[0], fault))}", file=sys.stderr, flush=True)
                bad = protocols.OWN.written(
                    around.folder / "bad.jsonl", [faulty(request, fault) for request in requests]
                )
                rates = compared(url, good, bad, connections, pairs, seconds)
                ratios = sorted(refusals / answers for answers, refusals in rates)
                cells = [
                    f"{rows} row{'s' if rows > 1 else ''}, {connections} conn.",
                    fault,
                    *(f"{statistics.median(each):,.0f}" for each in zip(*rates, strict=True)),
                    f"{statistics.median(ratios):.2f}",
                    f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
                ]
                print("| " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refusal_cost")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=2, help="of each half of a pair (default: 2)")
    chosen = parser.parse_args()
    wrk.required()
    print(
        "| load | what is wrong | good answers/s | refusals/s | ratio, median of pairs | from–to |\n"
        "|---|---|--:|--:|--:|--:|"
    )
    with surroundings() as around:
        run(around, chosen.pairs, chosen.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
