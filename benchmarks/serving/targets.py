"""Targets, as ratios of figures from one run, and by how much they are missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.wrk import Measured

OURS, QUIET, INVOCATIONS = "Gauntlet /predict", "Gauntlet /predict, no PredictionMade", "Gauntlet /invocations"
MLFLOW, ECHO = "mlflow models serve", "FastAPI echo (no model)"
PEERS = (MLFLOW, "MLServer", "BentoML", "LitServe", "FastAPI, idiomatic")

Figures = Mapping[str, Measured]


@dataclass(frozen=True)
class Target:
    """`ratio` of the figures of all servers under one load; None when one that it needs was not measured."""

    what: str
    wanted: float
    at_least: bool
    ratio: Callable[[Figures], float | None]

    def line(self, figures: Figures) -> str:
        sign = "≥" if self.at_least else "≤"
        ratio = self.ratio(figures)
        if ratio is None:
            return f"| {self.what} | {sign} {self.wanted:g} | – | not measured |"
        reached = ratio >= self.wanted if self.at_least else ratio <= self.wanted
        short = self.wanted / ratio if self.at_least else ratio / self.wanted
        verdict = "reached" if reached else f"missed by a factor of {short:.3g}"
        return f"| {self.what} | {sign} {self.wanted:g} | {ratio:.3g} | {verdict} |"


def _rate_over(other: str, of: str = OURS) -> Callable[[Figures], float | None]:
    def ratio(figures: Figures) -> float | None:
        return figures[of].rate / figures[other].rate if {of, other} <= set(figures) else None

    return ratio


def _rate_over_best(figures: Figures) -> float | None:
    """Return None when a peer was left out: it might be the best."""
    if not {OURS, *PEERS} <= set(figures):
        return None
    return figures[OURS].rate / max(figures[name].rate for name in PEERS)


def _p99_over_best(figures: Figures) -> float | None:
    """Compare with the lowest p99 of any peer, whichever has the most requests per second."""
    if not {OURS, *PEERS} <= set(figures):
        return None
    return figures[OURS].p99 / min(figures[name].p99 for name in PEERS)


COMPILABLE_TARGETS: Sequence[Target] = (
    Target(f"req/s, ours ÷ {MLFLOW}", 100, True, _rate_over(MLFLOW)),
    Target("req/s, ours ÷ the best peer", 5, True, _rate_over_best),
    Target("req/s, ours ÷ FastAPI echo", 0.6, True, _rate_over(ECHO)),
    Target("p99, ours ÷ the lowest of a peer", 1, False, _p99_over_best),
    Target("req/s with PredictionMade ÷ without", 0.9, True, _rate_over(QUIET)),
)
PYFUNC_TARGETS: Sequence[Target] = (Target(f"req/s, ours ÷ {MLFLOW}, plain pyfunc", 3, True, _rate_over(MLFLOW)),)
