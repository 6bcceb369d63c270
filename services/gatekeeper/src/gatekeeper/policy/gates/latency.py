"""Gate: the model is fast enough, for single rows, for batches and to load, and small enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts import GateVerdict, Outcome
from contracts.policy import Latency, ModelPolicy
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.stage import Stage

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "latency"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION_TIMING})

FEWEST_CALLS = 20  # below, the largest observation is the 95th percentile


@dataclass(frozen=True)
class Facts:
    """Seconds of each one-row prediction, of each batch and of loading, and the peak memory in MiB.

    `champion_seconds` and `champion_batch_seconds` are the champion's, on the same machine just after; empty if it was
    not timed. `batch_seconds` is None if batches were not timed, as in older versions.
    """

    measurement_error: MeasurementError | None = None
    seconds: tuple[float, ...] = ()
    load_seconds: float | None = None
    peak_memory_mb: float | None = None
    champion_version: int | None = None
    champion_seconds: tuple[float, ...] = ()
    batch_rows: int | None = None
    batch_seconds: tuple[float, ...] | None = None
    champion_batch_seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Pace:
    """Seconds of calls of one kind, the champion's, and the limit in milliseconds (None: no limit)."""

    what: str
    seconds: tuple[float, ...]
    champion_seconds: tuple[float, ...]
    allowed_ms: float | None


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error, probe = measurements.measurement_error(Stage.TIMING, Stage.BATCH, Stage.DONE), measurements.probe
    if measurement_error is not None or probe is None:
        return Facts(measurement_error)
    champion = measurements.champion_probe
    return Facts(
        seconds=probe.seconds,
        load_seconds=probe.load_seconds,
        peak_memory_mb=getattr(probe, "peak_memory_mb", None),
        champion_version=measurements.champion.model_version if measurements.champion else None,
        champion_seconds=champion.seconds if champion else (),
        batch_rows=probe.batch_rows,
        batch_seconds=probe.batch_seconds,
        champion_batch_seconds=(champion.batch_seconds or ()) if champion else (),
    )


def decide(facts: Facts, settings: Latency) -> GateVerdict:
    """Fail if too slow or too large; Inconclusive if it could not be timed."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.load_seconds is None or not facts.seconds:
        return _verdict(Outcome.INCONCLUSIVE, "no prediction was timed", n=0)
    if not np.isfinite([*facts.seconds, *(facts.batch_seconds or ()), facts.load_seconds]).all():
        return _verdict(Outcome.INCONCLUSIVE, "the timings are not finite", n=len(facts.seconds))
    outcome, reason = _judge(facts, facts.load_seconds, settings)
    p95 = _ms(facts.seconds, 0.95)
    details: dict[str, Any] = {
        "p50_ms": _ms(facts.seconds, 0.5),
        "load_seconds": facts.load_seconds,
        "load_bound": settings.load_seconds,
        "peak_memory_mb": facts.peak_memory_mb,
        "memory_bound": settings.memory_mb,
    }
    if facts.champion_seconds:
        details["champion_p95_ms"] = _ms(facts.champion_seconds, 0.95)
    if facts.batch_seconds:
        details["batch"] = _batch(facts, facts.batch_seconds, settings)
    return _verdict(outcome, reason, len(facts.seconds), p95, settings.p95_ms, details)


def _batch(facts: Facts, seconds: tuple[float, ...], settings: Latency) -> dict[str, Any]:
    champion = facts.champion_batch_seconds
    return {
        "rows": facts.batch_rows,
        "n": len(seconds),
        "p50_ms": _ms(seconds, 0.5),
        "p95_ms": _ms(seconds, 0.95),
        "bound": settings.batch_p95_ms,
        "champion_p95_ms": _ms(champion, 0.95) if champion else None,
    }


def _judge(facts: Facts, load: float, settings: Latency) -> tuple[Outcome, str]:
    if load > settings.load_seconds:
        return Outcome.FAILED, f"loading took {load:.2f} s, {settings.load_seconds:g} s are allowed"
    memory = facts.peak_memory_mb
    if settings.memory_mb is not None and memory is not None and memory > settings.memory_mb:
        return Outcome.FAILED, f"it needed {memory:.0f} MiB of memory, {settings.memory_mb:g} MiB are allowed"
    rows = Pace("one-row predictions", facts.seconds, facts.champion_seconds, settings.p95_ms)
    found = [_keeps_pace(rows, facts, settings), *_batches(facts, settings)]
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        if reasons := [reason for each, reason in found if each is outcome]:
            return outcome, "; ".join(reasons)
    if settings.memory_mb is not None and memory is None:
        return Outcome.INCONCLUSIVE, "its memory could not be measured"
    return Outcome.PASSED, "; ".join([*(reason for _, reason in found), f"loaded in {load:.2f} s"])


def _batches(facts: Facts, settings: Latency) -> list[tuple[Outcome, str]]:
    """Judge the batches; empty if none were timed and the policy sets no bound on them."""
    bounded = settings.batch_p95_ms is not None
    if not facts.batch_seconds:
        return [(Outcome.INCONCLUSIVE, "no batch was timed")] if bounded else []
    compared = settings.times_champion is not None and facts.champion_version is not None
    if facts.batch_rows != settings.batch_rows and (bounded or compared):
        timed = f"batches of {facts.batch_rows} rows were timed, {settings.batch_rows} are asked"
        return [(Outcome.INCONCLUSIVE, timed)]
    what = f"predictions of {facts.batch_rows} rows"
    pace = Pace(what, facts.batch_seconds, facts.champion_batch_seconds, settings.batch_p95_ms)
    return [_keeps_pace(pace, facts, settings)]


def _keeps_pace(pace: Pace, facts: Facts, settings: Latency) -> tuple[Outcome, str]:
    """Compare with the absolute bound and with the champion, where the policy sets them."""
    calls, p95, allowed = len(pace.seconds), _ms(pace.seconds, 0.95), pace.allowed_ms
    compared = settings.times_champion is not None and facts.champion_version is not None
    few = calls < FEWEST_CALLS and (allowed is not None or compared)
    if few and (allowed is None or min(pace.seconds) * 1000 <= allowed):
        return Outcome.INCONCLUSIVE, f"only {calls} {pace.what} were timed; p95 needs {FEWEST_CALLS}"
    told = f"p95 of {calls} {pace.what} is {p95:.2f} ms"
    if allowed is not None:
        told += f", {allowed:g} ms are allowed"
        if p95 > allowed:
            return Outcome.FAILED, told
    if settings.times_champion is not None and facts.champion_version is not None:
        if len(pace.champion_seconds) < FEWEST_CALLS:
            return Outcome.INCONCLUSIVE, f"champion v{facts.champion_version} was not timed beside it ({pace.what})"
        champion = _ms(pace.champion_seconds, 0.95)
        told += f", champion v{facts.champion_version} takes {champion:.2f} ms"
        if p95 > settings.times_champion * champion:
            return Outcome.FAILED, f"{told}: more than {settings.times_champion:g} times as long"
    return Outcome.PASSED, told


def _ms(seconds: tuple[float, ...], quantile: float) -> float:
    return float(np.quantile(np.asarray(seconds) * 1000, quantile))


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
    batch = details.get("batch") or {}
    of_batch = f"{batch.get('rows')} rows"
    batches = (
        (f"{of_batch}, p50, ms", batch.get("p50_ms"), None),
        (f"{of_batch}, p95, ms", batch.get("p95_ms"), batch.get("bound")),
        (f"{of_batch}, the champion's p95, ms", batch.get("champion_p95_ms"), None),
    )
    rows = (
        ("one row, p50, ms", details["p50_ms"], None),
        ("one row, p95, ms", verdict.observed, verdict.bound),
        ("the champion's p95, ms", details.get("champion_p95_ms"), None),
        *(batches if batch else ()),
        ("loading, s", details["load_seconds"], details["load_bound"]),
        ("peak memory, MiB", details["peak_memory_mb"], details["memory_bound"]),
    )
    return Section(tables=(Table("Speed and size", ("what", "measured", "allowed"), rows),))
