"""How often a performance that is acceptable is called a drop, and how late a real drop is seen.

`python -m benchmarks.drift_performance [--runs 200]` plays streams of labelled windows through the product's estimates
and `judge_performance`; on the same windows the fixed threshold that there was before, a test of each window at 5 %,
and a test at 5 % of all windows so far that is looked at after each one. Each run has golden rows of its own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.signal import lfilter

from contracts.drift_settings import Budget, RelativeDrop
from contracts.metrics import METRICS
from drift.policy.estimates import Uncertainty, influences, losses, uncertainty
from drift.policy.performance import Labelled, drop_limit, judge_performance
from drift.policy.sequential import Evidence

DROP_ALLOWED = RelativeDrop(relative=0.05)
GOLDEN = 5000
WINDOWS, BEFORE, AFTER = 60, 20, 40
NORMAL = NormalDist()
Z95 = NORMAL.inv_cdf(0.95)

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stream:
    """`draw(rng, rows, value)`: truth and predictions of rows on which the metric's true value is this."""

    name: str
    metric: str
    baseline: float
    draw: Callable[[np.random.Generator, int, float], Rows]

    def at(self, drops: float) -> float:
        """The metric when it is worse than the baseline by so many times what is allowed."""
        sign = -1 if METRICS[self.metric].greater_is_better else 1
        return self.baseline * (1 + sign * DROP_ALLOWED.relative * drops)


def of_scores(rng: np.random.Generator, rows: int, auc: float) -> Rows:
    """Two normal distributions of scores, 20 % positive: AUC = Φ(d / √2)."""
    truth = (rng.random(rows) < 0.2).astype(float)
    return truth, rng.normal(0, 1, rows) + truth * NORMAL.inv_cdf(auc) * math.sqrt(2)


def of_errors(rng: np.random.Generator, rows: int, mae: float) -> Rows:
    """Errors with a long tail: log-normal with σ = 1."""
    return np.zeros(rows), rng.lognormal(0, 1, rows) * mae / math.exp(0.5)


def in_time(rng: np.random.Generator, rows: int, mae: float) -> Rows:
    """Errors whose level changes slowly: log-normal with an autoregression of 0.9."""
    shocks = rng.normal(0, math.sqrt(1 - 0.9**2), rows)
    level, _ = lfilter([1.0], [1.0, -0.9], shocks, zi=[0.9 * rng.normal()])
    return np.zeros(rows), np.exp(0.5 * level) * mae / math.exp(0.125)


STREAMS = (
    Stream("roc_auc 0.8, independent rows", "roc_auc", 0.8, of_scores),
    Stream("mae, long-tailed errors", "mae", 1.0, of_errors),
    Stream("mae, autocorrelated errors", "mae", 1.0, in_time),
)


def measured(stream: Stream, rows: Rows) -> Labelled:
    truth, said = rows
    influence = influences(stream.metric, truth, said)
    if stream.metric == "roc_auc":
        ranks = np.argsort(np.argsort(said)) + 1.0
        m = truth.sum()
        value = (ranks[truth == 1].sum() - m * (m + 1) / 2) / (m * (len(truth) - m))
    else:
        value = losses(stream.metric, truth, said).mean()
    return Labelled(
        len(truth), len(truth), 2, float(value), uncertainty=uncertainty(stream.metric, truth, influence, None, None)
    )


class Sequential:
    """The product. `exact`: the baseline's uncertainty is ignored."""

    def __init__(self, stream: Stream, golden: Labelled, *, exact: bool = False) -> None:
        of_baseline = None if exact else golden.uncertainty
        self._limit = drop_limit(stream.metric, golden.observed, DROP_ALLOWED, of_baseline)
        self._states: dict[str, Evidence] = {}

    def alarms(self, window: Labelled) -> bool:
        judged = judge_performance([(self._limit, window)], self._states, Budget())
        self._states = judged.restarted
        return judged.tests[0].alarms


class Fixed:
    """Worse than the bound; with `z`, by so many standard errors of the window."""

    def __init__(self, stream: Stream, golden: Labelled, z: float = 0.0) -> None:
        limit = drop_limit(stream.metric, golden.observed, DROP_ALLOWED)
        self._bound, self._sign = limit.bound or 0.0, 1 if METRICS[stream.metric].greater_is_better else -1
        self._z = z

    def alarms(self, window: Labelled) -> bool:
        of = window.uncertainty or Uncertainty(0.0, 0, "")
        return self._sign * (self._bound - (window.observed or 0.0)) > self._z * of.se


class Peeked(Fixed):
    """All windows since the last alarm, tested together after each one."""

    def __init__(self, stream: Stream, golden: Labelled) -> None:
        super().__init__(stream, golden)
        self._sum = self._variance = 0.0

    def alarms(self, window: Labelled) -> bool:
        of = window.uncertainty or Uncertainty(0.0, 0, "")
        self._sum += self._sign * (self._bound - (window.observed or 0.0))
        self._variance += of.se**2
        found = self._sum > Z95 * math.sqrt(self._variance)
        if found:
            self._sum = self._variance = 0.0
        return found


JUDGES: dict[str, Callable[[Stream, Labelled], Sequential | Fixed]] = {
    "sequential (the product)": Sequential,
    "sequential, baseline taken as exact": lambda stream, golden: Sequential(stream, golden, exact=True),
    "fixed threshold (before)": Fixed,
    "each window at 5 %": lambda stream, golden: Fixed(stream, golden, Z95),
    "all windows so far at 5 %, peeked": Peeked,
}


def play(stream: Stream, rows: int, drops: Sequence[float], seed: int) -> dict[str, list[bool]]:
    """Return, for each judge, whether each window alarmed."""
    rng = np.random.default_rng(seed)
    golden = measured(stream, stream.draw(rng, GOLDEN, stream.baseline))
    judges = {name: make(stream, golden) for name, make in JUDGES.items()}
    found: dict[str, list[bool]] = {name: [] for name in judges}
    for drop in drops:
        window = measured(stream, stream.draw(rng, rows, stream.at(drop)))
        for name, judge in judges.items():
            found[name].append(judge.alarms(window))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="Of each cell")
    runs = parser.parse_args().runs
    for stream in STREAMS:
        for rows in (500, 2000):
            print(f"\n### {stream.name}; windows of {rows} rows, {GOLDEN} golden rows, 5 % may be lost, {runs} runs\n")
            acceptable, real = (0.0, 0.5, 1.0), (1.5, 2.0, 4.0)
            print("| judge | " + " | ".join(f"alarms in 20 windows, drop of {d:g}" for d in acceptable), end=" | ")
            print(" | ".join(f"windows until a drop of {d:g} is seen" for d in real) + " |")
            print("|---|" + "--:|" * (len(acceptable) + len(real)))
            cells: dict[str, list[str]] = {name: [] for name in JUDGES}
            for drop in acceptable:
                played = [play(stream, rows, [drop] * WINDOWS, seed) for seed in range(runs)]
                for name, row in cells.items():
                    row.append(f"{20 * np.mean([each[name] for each in played]):.2f}")
            for drop in real:
                played = [play(stream, rows, [0.0] * BEFORE + [drop] * AFTER, seed) for seed in range(runs)]
                for name, row in cells.items():
                    row.append(delay([each[name][BEFORE:] for each in played]))
            for name, row in cells.items():
                print(f"| {name} | {' | '.join(row)} |", flush=True)


def delay(alarms: list[list[bool]]) -> str:
    """The mean number of windows to the first alarm, and the share of runs without one."""
    first = [each.index(True) + 1 if True in each else AFTER for each in alarms]
    missed = np.mean([True not in each for each in alarms])
    return f"{np.mean(first):.1f}" + (f" ({missed:.0%} not in {AFTER})" if missed else "")


if __name__ == "__main__":
    main()
