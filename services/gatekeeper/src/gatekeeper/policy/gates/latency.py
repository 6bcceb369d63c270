"""Gate: the model is fast enough, for single rows, for batches and to load, and small enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Latency
from contracts.policy import ModelPolicy
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.noise import Noise
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.stage import Stage

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "latency"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION_TIMING})

TOO_BUSY = "the machine was too busy to tell"
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
    load_cpu_seconds: float | None = None
    noise: Noise | None = None
    batch_noise: Noise | None = None
    champion_noise: Noise | None = None
    champion_batch_noise: Noise | None = None
    """Beside the timings of the same name; None in older evidence."""


@dataclass(frozen=True)
class Pace:
    """Seconds of calls of one kind, the champion's, and the limit in milliseconds (None: no limit)."""

    what: str
    seconds: tuple[float, ...]
    champion_seconds: tuple[float, ...]
    allowed_ms: float | None
    noise: Noise | None = None
    champion_noise: Noise | None = None
    hiccup_ms: float = 0.0
    """The longest delay seen beside any of the candidate's timings."""


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
        load_cpu_seconds=probe.load_cpu_seconds,
        noise=probe.noise,
        batch_noise=probe.batch_noise,
        champion_noise=champion.noise if champion else None,
        champion_batch_noise=champion.batch_noise if champion else None,
    )


def is_too_noisy(facts: Facts, settings: Latency) -> bool:
    """Whether timing the models again could decide: the machine was busier than the difference to the limit."""
    return bool(decide(facts, settings).details.get("too_busy"))


def decide(facts: Facts, settings: Latency) -> GateVerdict:
    """Fail if too slow or too large; Inconclusive if it could not be timed."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.load_seconds is None or not facts.seconds:
        return _verdict(Outcome.INCONCLUSIVE, "no prediction was timed", n=0)
    if not np.isfinite([*facts.seconds, *(facts.batch_seconds or ()), facts.load_seconds]).all():
        return _verdict(Outcome.INCONCLUSIVE, "the timings are not finite", n=len(facts.seconds))
    outcome, reason = _judge(facts, facts.load_seconds, settings)
    noisy = outcome is Outcome.INCONCLUSIVE and TOO_BUSY in reason
    p95 = _ms(facts.seconds, 0.95)
    details: dict[str, Any] = {
        "p50_ms": _ms(facts.seconds, 0.5),
        "load_seconds": facts.load_seconds,
        "load_bound": settings.load_seconds,
        "peak_memory_mb": facts.peak_memory_mb,
        "memory_bound": settings.memory_mb,
    }
    if facts.noise is not None or facts.batch_noise is not None:
        details["too_busy"] = noisy
    if facts.noise is not None:
        details |= {
            "cpu_p95_ms": _ms(facts.noise.cpu, 0.95),
            "loop_ms": facts.noise.quiet * 1000,
            "loop_p95_ms": facts.noise.p95 * 1000,
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
        told = f"loading took {load:.2f} s, {settings.load_seconds:g} s are allowed"
        noise = facts.noise
        if noise is None or (facts.load_cpu_seconds or 0) > settings.load_seconds:
            return Outcome.FAILED, told
        if load * noise.running / (2 if noise.is_busy else 1) > settings.load_seconds:
            return Outcome.FAILED, told
        return Outcome.INCONCLUSIVE, f"{told}; {_busy(noise)}"
    memory = facts.peak_memory_mb
    if settings.memory_mb is not None and memory is not None and memory > settings.memory_mb:
        return Outcome.FAILED, f"it needed {memory:.0f} MiB of memory, {settings.memory_mb:g} MiB are allowed"
    noises = (facts.noise, facts.champion_noise, _hiccup_ms(facts))
    rows = Pace("one-row predictions", facts.seconds, facts.champion_seconds, settings.p95_ms, *noises)
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
    noise = (facts.batch_noise, facts.champion_batch_noise, _hiccup_ms(facts))
    pace = Pace(what, facts.batch_seconds, facts.champion_batch_seconds, settings.batch_p95_ms, *noise)
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
            return _exceeds(pace, p95, allowed, told)
    if settings.times_champion is not None and facts.champion_version is not None:
        if len(pace.champion_seconds) < FEWEST_CALLS:
            return Outcome.INCONCLUSIVE, f"champion v{facts.champion_version} was not timed beside it ({pace.what})"
        champion = _ms(pace.champion_seconds, 0.95)
        told += f", champion v{facts.champion_version} takes {champion:.2f} ms"
        if p95 > settings.times_champion * champion:
            more = f"{told}: more than {settings.times_champion:g} times as long"
            return _exceeds(pace, p95, settings.times_champion * champion, more)
        if (other := pace.champion_noise) is not None:
            least = other.least(pace.champion_seconds) * 1000
            if not other.is_busy:
                least = max(least, champion - _added(pace, other, champion))
            if p95 > settings.times_champion * least:
                return Outcome.INCONCLUSIVE, f"{told}; {_busy(other)}"
    return Outcome.PASSED, told


def _exceeds(pace: Pace, p95: float, allowed: float, told: str) -> tuple[Outcome, str]:
    """Fail, unless the machine may have added the difference (all in milliseconds)."""
    noise = pace.noise
    if noise is None:
        return Outcome.FAILED, told
    least = noise.least(pace.seconds) * 1000 if noise.is_busy else p95 - _added(pace, noise, p95)
    if least > allowed:
        return Outcome.FAILED, told
    return Outcome.INCONCLUSIVE, f"{told}; {_busy(noise)}"


def _added(pace: Pace, noise: Noise, p95: float) -> float:
    """Return the milliseconds by which a machine that was not busy may have lengthened a 95th percentile.

    A short call is lengthened as a loop was at most, a long one by the share of time that others had.
    """
    return max(pace.hiccup_ms, noise.hiccup * 1000, p95 * (1 - noise.running))


def _busy(noise: Noise) -> str:
    took = f"a loop of {noise.quiet * 1000:.2f} ms took {noise.p95 * 1000:.2f} ms (p95)"
    return f"{TOO_BUSY}: {took}, and was running for {noise.running:.0%} of that time"


def _hiccup_ms(facts: Facts) -> float:
    return max((each.hiccup * 1000 for each in (facts.noise, facts.batch_noise) if each is not None), default=0.0)


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
        *((("one row, p95 of its CPU time, ms", details["cpu_p95_ms"], None),) if "cpu_p95_ms" in details else ()),
        ("the champion's p95, ms", details.get("champion_p95_ms"), None),
        *(batches if batch else ()),
        ("loading, s", details["load_seconds"], details["load_bound"]),
        ("peak memory, MiB", details["peak_memory_mb"], details["memory_bound"]),
    )
    return Section(tables=(Table("Speed and size", ("what", "measured", "allowed"), rows),))
