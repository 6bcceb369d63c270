"""How often each rule promotes a model that is worse, equal or better, through the gate's own code.

Scores are normal in either class, half of the rows positive, AUC of the champion 0.75; ρ is the correlation of two
models' scores within a class. `python -m benchmarks.false_promotion`; `… series`: of forecasts whose errors last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from contracts import Outcome
from contracts.gate_settings import Delta, Minimum, Performance
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.performance import Facts
from gatekeeper.policy.statistics.estimates import Predictions, Series

AUC = 0.75
MARGIN = 0.02 * (AUC - 0.5)
GAINS = (-MARGIN, 0.0, 0.01, 0.02)
TRIALS = {500: 4000, 2000: 2000, 20_000: 500}
CORRELATIONS = (0.7, 0.9)
RULES: dict[str, Performance] = {
    "non_inferior": Performance(alpha_spending=False),
    "non_inferior, α₁": Performance(),
    "superior": Performance(rule="superior", alpha_spending=False),
    "superior, α₁": Performance(rule="superior"),
    "delta 0.01": Performance(rule=Delta(delta=0.01)),
    "minimum 0.75": Performance(rule=Minimum(minimum={"roc_auc": AUC})),
}
CHALLENGERS, STREAMS = 20, 1000
SERIES_TRIALS = 2000


def models(random: np.random.Generator, n: int, correlation: float, aucs: Sequence[float]) -> Iterator[Predictions]:
    """Draw scores of models with these true AUCs; the first half of the rows is positive."""
    common = random.normal(size=n)
    for auc in aucs:
        apart = np.sqrt(2) * NormalDist().inv_cdf(auc) * (labels(n) - 0.5)
        score = apart + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * random.normal(size=n)
        probability = 1 / (1 + np.exp(-score))
        yield Predictions((probability >= 0.5).astype(int), probability)


def labels(n: int) -> NDArray[np.int64]:
    return (np.arange(n) < n / 2).astype(np.int64)


def promoted(n: int, challenger: Predictions, champion: Predictions, settings: Performance, k: int = 1) -> bool:
    facts = Facts("binary", "roc_auc", None, labels(n), challenger, champion, champion_version=1, k=k)
    return performance.decide(facts, settings).outcome is Outcome.PASSED


def print_rules() -> None:
    print(f"| rule | n | ρ | worse by the margin ({MARGIN:g}) | equal | +0.01 | +0.02 |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    found: dict[tuple[str, int, float], list[int]] = {}
    for n, trials in TRIALS.items():
        for correlation in CORRELATIONS:
            for place, gain in enumerate(GAINS):
                random = np.random.default_rng([n, int(10 * correlation), place])
                for _ in range(trials):
                    champion, challenger = models(random, n, correlation, (AUC, AUC + gain))
                    for rule, settings in RULES.items():
                        row = found.setdefault((rule, n, correlation), [0] * len(GAINS))
                        row[place] += promoted(n, challenger, champion, settings)
    for rule in RULES:
        for n, trials in TRIALS.items():
            for correlation in CORRELATIONS:
                shares = " | ".join(f"{times / trials:.1%}" for times in found[rule, n, correlation])
                print(f"| {rule} | {n:,} | {correlation} | {shares} |")


def print_streams() -> None:
    """Print how often at least one of several equal challengers on the same golden rows is promoted."""
    print(f"\n| {CHALLENGERS} equal challengers, 500 rows, ρ 0.9 | at least one promoted |\n|---|--:|")
    random = np.random.default_rng(20)
    found = dict.fromkeys(("superior", "superior, α₁", "delta 0.01"), 0)
    for _ in range(STREAMS):
        champion, *challengers = models(random, 500, 0.9, (AUC,) * (CHALLENGERS + 1))
        for rule in found:
            found[rule] += any(promoted(500, each, champion, RULES[rule], k) for k, each in enumerate(challengers, 1))
    for rule, times in found.items():
        print(f"| {rule.replace('α₁', 'α spent')} | {times / STREAMS:.1%} |")


def errors(random: np.random.Generator, points: int, correlation: float, series: int) -> NDArray[np.float64]:
    """Draw the errors of a model, by time and series: half is a shock that lasts and that all series share."""
    steps = np.sqrt(1 - correlation**2) * random.normal(size=points)
    for at in range(1, points):
        steps[at] += correlation * steps[at - 1]
    return (np.repeat(steps, series) + random.normal(size=points * series)) / np.sqrt(2)


def print_series() -> None:
    """Print how often `superior` promotes an equal forecaster: by rows, and by moving blocks of time."""
    settings = Performance(rule="superior", alpha_spending=False)
    print("| points in time | series | autocorrelation | by rows | by moving blocks |\n|--:|--:|--:|--:|--:|")
    for points in (200, 500, 2000):
        for series, correlation in ((1, 0.0), (1, 0.5), (1, 0.8), (1, 0.95), (3, 0.5), (3, 0.8)):
            random = np.random.default_rng([points, series, int(100 * correlation)])
            at, found = np.repeat(np.arange(points), series), [0, 0]
            order = Series(np.full(len(at), np.nan), None, at)
            for _ in range(SERIES_TRIALS):
                truth = random.normal(size=len(at))
                both = [Predictions(truth + errors(random, points, correlation, series)) for _ in range(2)]
                for place, known in enumerate((None, order)):
                    facts = Facts("regression", "mae", None, truth, *both, champion_version=1, series=known)
                    found[place] += performance.decide(facts, settings).outcome is Outcome.PASSED
            shares = " | ".join(f"{times / SERIES_TRIALS:.1%}" for times in found)
            print(f"| {points:,} | {series} | {correlation:g} | {shares} |", flush=True)


if __name__ == "__main__":
    began = time.monotonic()
    if "series" in sys.argv[1:]:
        print_series()
    else:
        print_rules()
        print_streams()
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
