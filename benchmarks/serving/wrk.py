"""The load: wrk, with a script that prints its result as JSON."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
PREFIX = "RESULT "
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Measured:
    """Good responses per second; milliseconds of all requests, as wrk computes them; failed requests of any kind."""

    rate: float
    p50: float
    p99: float
    failed: int


def required() -> None:
    """Raise RuntimeError when wrk is not installed."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not on PATH: `apt-get install wrk`, `brew install wrk`, or github.com/wg/wrk")


def run(url: str, bodies: Path, connections: int, seconds: float, token: str | None = None) -> Measured:
    """Run wrk, which presents `token`. Raises RuntimeError, with wrk's output, when it gives no result."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", f"{TIMEOUT_SECONDS}s"]
    command = ["wrk", *options, "--latency", "-s", str(SCRIPT), url, "--", str(bodies)]
    environment = {**os.environ, "GAUNTLET_TOKEN": token} if token else None
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk failed on {url}: {done.stderr or done.stdout}")
    return parse(done.stdout)


def in_turns(
    one: Callable[[], Measured], other: Callable[[], Measured], pairs: int
) -> Iterator[tuple[Measured, Measured]]:
    """Yield pairs of measurements in alternating order, so that a machine that slows down is slow for both."""
    for number in range(pairs):
        if number % 2:
            first = one()
            yield first, other()
        else:
            second = other()
            yield one(), second


def parse(output: str) -> Measured:
    """Parse wrk's output with load.lua. Raises RuntimeError when it has no result, or there was no request."""
    line = next((line for line in output.splitlines() if line.startswith(PREFIX)), None)
    if line is None:
        raise RuntimeError(f"wrk printed no line that starts with {PREFIX!r}: {output[-500:]!r}")
    said = json.loads(line.removeprefix(PREFIX))
    if not said["requests"]:
        raise RuntimeError(f"not one answer in {said['microseconds'] / 1e6:.1f} s: {said}")
    return Measured(
        rate=(said["requests"] - said["status"]) / (said["microseconds"] / 1e6),
        p50=said["p50"] / 1000,
        p99=said["p99"] / 1000,
        failed=said["status"] + said["socket"] + said["timeout"],
    )


def typical(rounds: Sequence[Measured]) -> Measured:
    """Return the median of each figure, and all failures."""
    return Measured(
        rate=statistics.median(each.rate for each in rounds),
        p50=statistics.median(each.p50 for each in rounds),
        p99=statistics.median(each.p99 for each in rounds),
        failed=sum(each.failed for each in rounds),
    )
