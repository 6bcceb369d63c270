"""Gate: is the model fast enough, one row at a time and to load?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts import GateVerdict, Outcome
from contracts.policy import Latency
from gatekeeper.policy.trouble import Trouble

name = "latency"

FEWEST_CALLS = 20  # below, the largest observation is the 95th percentile


@dataclass(frozen=True)
class Facts:
    """Seconds of each one-row prediction, and of loading."""

    trouble: Trouble | None = None
    seconds: tuple[float, ...] = ()
    load_seconds: float | None = None


def decide(facts: Facts, settings: Latency) -> GateVerdict:
    if facts.trouble is not None:
        return facts.trouble.verdict(name)
    if facts.load_seconds is None or not facts.seconds:
        return GateVerdict(
            gate=name,
            outcome=Outcome.INCONCLUSIVE,
            reason="no prediction was timed",
            n=0,
        )
    calls = np.asarray(facts.seconds) * 1000
    p50, p95 = (float(value) for value in np.quantile(calls, [0.5, 0.95]))
    if not np.isfinite(calls).all() or not np.isfinite(facts.load_seconds):
        return GateVerdict(
            gate=name,
            outcome=Outcome.INCONCLUSIVE,
            reason="the timings are not finite",
            n=len(calls),
        )
    outcome, reason = _judge(facts.load_seconds, p95, calls.min(), len(calls), settings)
    return GateVerdict(
        gate=name,
        outcome=outcome,
        reason=reason,
        metric="p95_ms",
        observed=p95,
        bound=settings.p95_ms,
        n=len(calls),
        details={
            "p50_ms": p50,
            "load_seconds": facts.load_seconds,
            "load_bound": settings.load_seconds,
        },
    )


def _judge(load: float, p95: float, fastest: float, calls: int, settings: Latency) -> tuple[Outcome, str]:
    if load > settings.load_seconds:
        return (
            Outcome.FAILED,
            f"loading took {load:.2f} s, {settings.load_seconds:g} s are allowed",
        )
    if calls < FEWEST_CALLS and fastest <= settings.p95_ms:
        return (
            Outcome.INCONCLUSIVE,
            f"only {calls} predictions were timed; p95 needs {FEWEST_CALLS}",
        )
    limit = f"p95 of {calls} one-row predictions is {p95:.2f} ms, {settings.p95_ms:g} ms are allowed"
    if p95 > settings.p95_ms:
        return Outcome.FAILED, limit
    return Outcome.PASSED, f"{limit}; loaded in {load:.2f} s"
