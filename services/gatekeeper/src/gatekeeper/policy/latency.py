"""Gate: is the model fast enough, one row at a time and to load, and small enough?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts import GateVerdict, Outcome
from contracts.policy import Latency, ModelPolicy
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.trouble import Trouble
from gatekeeper.sandbox.protocol import Stage

if TYPE_CHECKING:
    from gatekeeper.measured import Measured

name = "latency"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION_TIMING})

FEWEST_CALLS = 20  # below, the largest observation is the 95th percentile


@dataclass(frozen=True)
class Facts:
    """Seconds of each one-row prediction and of loading, and the peak of memory in MiB.

    `champion_seconds` are the champion's, on the same machine just before; empty when it was not timed.
    """

    trouble: Trouble | None = None
    seconds: tuple[float, ...] = ()
    load_seconds: float | None = None
    peak_memory_mb: float | None = None
    champion_version: int | None = None
    champion_seconds: tuple[float, ...] = ()


def facts(measured: Measured, policy: ModelPolicy) -> Facts:
    trouble, probe = measured.trouble(Stage.TIMING, Stage.DONE), measured.probe
    if trouble is not None or probe is None:
        return Facts(trouble)
    champion = measured.champion_probe
    return Facts(
        seconds=probe.seconds,
        load_seconds=probe.load_seconds,
        peak_memory_mb=getattr(probe, "peak_memory_mb", None),
        champion_version=measured.champion.model_version if measured.champion else None,
        champion_seconds=champion.seconds if champion else (),
    )


def decide(facts: Facts, settings: Latency) -> GateVerdict:
    """Too slow or too large fails; what could not be timed is Inconclusive."""
    if facts.trouble is not None:
        return facts.trouble.verdict(name)
    if facts.load_seconds is None or not facts.seconds:
        return _verdict(Outcome.INCONCLUSIVE, "no prediction was timed", n=0)
    calls = np.asarray(facts.seconds) * 1000
    if not np.isfinite(calls).all() or not np.isfinite(facts.load_seconds):
        return _verdict(Outcome.INCONCLUSIVE, "the timings are not finite", n=len(calls))
    p50, p95 = (float(value) for value in np.quantile(calls, [0.5, 0.95]))
    outcome, reason = _judge(facts, p95, float(calls.min()), settings)
    details: dict[str, Any] = {
        "p50_ms": p50,
        "load_seconds": facts.load_seconds,
        "load_bound": settings.load_seconds,
        "peak_memory_mb": facts.peak_memory_mb,
        "memory_bound": settings.memory_mb,
    }
    if facts.champion_seconds:
        details["champion_p95_ms"] = _p95_ms(facts.champion_seconds)
    return _verdict(outcome, reason, len(calls), p95, settings.p95_ms, details)


def _judge(facts: Facts, p95: float, fastest: float, settings: Latency) -> tuple[Outcome, str]:
    load, calls = facts.load_seconds or 0.0, len(facts.seconds)
    if load > settings.load_seconds:
        return Outcome.FAILED, f"loading took {load:.2f} s, {settings.load_seconds:g} s are allowed"
    memory = facts.peak_memory_mb
    if settings.memory_mb is not None and memory is not None and memory > settings.memory_mb:
        return Outcome.FAILED, f"it needed {memory:.0f} MiB of memory, {settings.memory_mb:g} MiB are allowed"
    if calls < FEWEST_CALLS and fastest <= settings.p95_ms:
        return Outcome.INCONCLUSIVE, f"only {calls} predictions were timed; p95 needs {FEWEST_CALLS}"
    limit = f"p95 of {calls} one-row predictions is {p95:.2f} ms, {settings.p95_ms:g} ms are allowed"
    if p95 > settings.p95_ms:
        return Outcome.FAILED, limit
    if settings.times_champion is not None and facts.champion_version is not None:
        if len(facts.champion_seconds) < FEWEST_CALLS:
            return Outcome.INCONCLUSIVE, f"champion v{facts.champion_version} was not timed beside it"
        champion = _p95_ms(facts.champion_seconds)
        limit += f", champion v{facts.champion_version} takes {champion:.2f} ms"
        if p95 > settings.times_champion * champion:
            return Outcome.FAILED, f"{limit}: more than {settings.times_champion:g} times as long"
    if settings.memory_mb is not None and memory is None:
        return Outcome.INCONCLUSIVE, "its memory could not be measured"
    return Outcome.PASSED, f"{limit}; loaded in {load:.2f} s"


def _p95_ms(seconds: tuple[float, ...]) -> float:
    return float(np.quantile(np.asarray(seconds) * 1000, 0.95))


def _verdict(
    outcome: Outcome,
    reason: str,
    n: int,
    observed: float | None = None,
    bound: float | None = None,
    details: dict[str, Any] | None = None,
) -> GateVerdict:
    metric = None if observed is None else "p95_ms"
    return GateVerdict(
        gate=name,
        outcome=outcome,
        reason=reason,
        metric=metric,
        observed=observed,
        bound=bound,
        n=n,
        details=details or {},
    )


def section(verdict: GateVerdict) -> Section:
    details = verdict.details
    if "p50_ms" not in details:
        return Section()
    rows = (
        ("one row, p50, ms", details["p50_ms"], None),
        ("one row, p95, ms", verdict.observed, verdict.bound),
        ("the champion's p95, ms", details.get("champion_p95_ms"), None),
        ("loading, s", details["load_seconds"], details["load_bound"]),
        ("peak memory, MiB", details["peak_memory_mb"], details["memory_bound"]),
    )
    return Section(tables=(Table("Speed and size", ("what", "measured", "allowed"), rows),))
