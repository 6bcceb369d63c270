"""What the sums of a rollout's step show: pure functions, one for each thing that is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from contracts import ArmSums, Loss, PairedSums, RolloutMeasured
from contracts.latency_buckets import bucket_of, upper_ms
from contracts.losses import LossKind
from gatekeeper.policy.statistics import anytime
from gatekeeper.policy.statistics.anytime import Sample

TOLERANCE = 0.12
"""Probability with which a version that fails exactly as often as the policy allows may be stopped for it."""
ALPHA_RATIO = 0.001
"""Probability with which routing that works is taken for broken."""
SLOW = 0.05
"""Share of the reference's predictions above its 95th percentile."""
WEAKEST = -1e4
"""log E of what is as good as impossible."""
LEAST_LATENCIES = 100
"""Of the reference, before its 95th percentile is one."""


@dataclass(frozen=True)
class Figure:
    """One figure that an action rests on."""

    name: str
    """What was measured: metric, errors, latency, agreement, sample ratio."""
    observed: float | None
    bound: float | None
    """What it is compared with; None: with nothing."""
    n: int
    """Rows or units that it was measured on."""
    reason: str
    """One sentence, with the evidence."""


@dataclass(frozen=True)
class Evidence:
    """How strong the sums speak for one statement, and how strong they must."""

    shows: str
    """The statement: it is better, it is worse, it fails more often, …"""
    strength: float
    """log E, or -log p, at least WEAKEST: at any time, exp(strength) to 1."""
    needed: float
    """From which on it is shown; always above 0."""
    harm: bool = True
    """Whether the statement speaks against the judged version."""

    @property
    def decides(self) -> bool:
        return self.strength >= self.needed


@dataclass(frozen=True)
class Interval:
    """The difference of two means with its bounds, that hold however often they are looked at."""

    observed: float
    low: float
    high: float
    bound: float
    """It is shown to be better when `low` is above, and worse when `high` is below."""


@dataclass(frozen=True)
class Finding:
    figure: Figure
    harm: bool = False
    """The judged version is worse than is allowed (sample ratio: routing is broken; agreement: it is too low)."""
    proven: bool = False
    """The judged version is as good as is required."""
    evidence: tuple[Evidence, ...] = ()
    interval: Interval | None = None


def errors(judged: ArmSums, other: ArmSums, limit: float, alpha: float, history: tuple[int, int] = (0, 0)) -> Finding:
    """Judge the failed predictions; `history` is the rows and errors of the other version before the step.

    Harm is both: more errors than the other version has (at the level alpha), and more than the limit (at TOLERANCE).
    """
    rows, failed = other.predictions + history[0], other.errors + history[1]
    rate = judged.errors / judged.predictions if judged.predictions else None
    more = anytime.more_errors(
        judged.errors, judged.predictions, other.errors, other.predictions, history[1], history[0]
    )
    beyond = anytime.above_rate(judged.errors, judged.predictions, limit)
    reason = (
        f"v{judged.model_version} failed on {judged.errors:,} of {judged.predictions:,} rows,"
        f" v{other.model_version} on {failed:,} of {rows:,}: {_chance(more, alpha)} by chance;"
        f" {percent(limit)} may fail"
    )
    harm = more <= alpha and beyond <= TOLERANCE and rate is not None and rate > limit
    evidence = (
        Evidence(f"it fails more often than v{other.model_version}", _strength(more), -math.log(alpha)),
        Evidence(f"it fails on more than {percent(limit)}", _strength(beyond), -math.log(TOLERANCE)),
    )
    return Finding(Figure("errors", rate, limit, judged.predictions, reason), harm, evidence=evidence)


def latency(judged: ArmSums, other: ArmSums, factor: float, alpha: float) -> Finding:
    """Judge the share of predictions slower than `factor` times the other version's 95th percentile: 5 % at most."""
    n, known = sum(judged.latency.values()), sum(other.latency.values())
    if known < LEAST_LATENCIES or n == 0:
        reason = f"{known:,} latencies of v{other.model_version} and {n:,} of v{judged.model_version} are too few"
        return Finding(Figure("latency", None, SLOW, n, reason))
    limit = p95_ms(other.latency) * factor
    last = bucket_of(limit)
    slow = sum(times for bucket, times in judged.latency.items() if int(bucket) > last)
    log_e = anytime.above(slow, n, SLOW)
    reason = (
        f"{slow:,} of {n:,} predictions of v{judged.model_version} took more than {limit:.3g} ms, {factor:g} times the"
        f" p95 of v{other.model_version}; {percent(SLOW)} may: {_evidence(log_e, alpha)}"
    )
    evidence = Evidence("it is slower", max(log_e, WEAKEST), -math.log(alpha))
    return Finding(Figure("latency", slow / n, SLOW, n, reason), evidence.decides, evidence=(evidence,))


def p95_ms(histogram: dict[str, int]) -> float:
    """Return the upper end of the bucket of the 95th percentile, milliseconds."""
    need, found = 0.95 * sum(histogram.values()), 0
    for bucket in sorted(map(int, histogram)):
        found += histogram[str(bucket)]
        if found >= need:
            return upper_ms(bucket)
    raise ValueError("a histogram without latencies has no 95th percentile")


def former_is_better(paired: PairedSums, loss: Loss, alpha: float) -> Finding:
    """Judge the new champion of a watch, whose former one is the tried version: it is harm when that one is better."""
    mirrored = PairedSums(
        n=paired.n,
        wins=paired.losses,
        losses=paired.wins,
        sum_d=-paired.sum_d,
        sum_d2=paired.sum_d2,
        log_wealth_better=paired.log_wealth_worse,
        log_wealth_worse=paired.log_wealth_better,
    )
    return metric_of_pairs(mirrored, loss, alpha, alpha)


def metric_of_pairs(paired: PairedSums, loss: Loss, alpha: float, alpha_harm: float) -> Finding:
    """Judge the tried version by the loss on rows that both predicted; proven: better (by more than minus the margin).

    Right or wrong without a margin is judged by the discordant rows, anything else by bets on the difference.
    """
    observed = paired.sum_d / paired.n if paired.n else None
    if loss.kind is LossKind.ZERO_ONE and loss.margin == 0:
        better = anytime.paired(paired.wins, paired.losses)
        worse = anytime.paired(paired.losses, paired.wins, anytime.WORSE)
        seen = f"right alone on {paired.wins:,}, wrong alone on {paired.losses:,} of {paired.n:,} labelled units"
    else:
        better, worse = anytime.betting(paired.log_wealth_better), anytime.betting(paired.log_wealth_worse)
        seen = f"mean loss {_by(observed or 0.0)} on {paired.n:,} labelled units"
    return _metric(observed, loss, paired.n, seen, (better, worse), (alpha, alpha_harm))


def _metric(
    observed: float | None,
    loss: Loss,
    n: int,
    seen: str,
    logs: tuple[float, float],
    alphas: tuple[float, float],
) -> Finding:
    (better, worse), (alpha, alpha_harm) = logs, alphas
    sign, log_e, level = ("better", better, alpha) if better >= worse else ("worse", worse, alpha_harm)
    by = f" by more than {loss.margin:g}" if loss.margin else ""
    of = f" or worse by less than {loss.margin:g}" if loss.margin else ""
    reason = f"{seen}: that it is {sign}{by if sign == 'worse' else of}, {_evidence(log_e, level)}"
    figure = Figure("metric", observed, 0.0 - loss.margin, n, reason)
    gain = Evidence(f"it is better{of}", max(better, WEAKEST), -math.log(alpha), harm=False)
    harm = Evidence(f"it is worse{by}", max(worse, WEAKEST), -math.log(alpha_harm))
    return Finding(figure, harm.decides, gain.decides, (gain, harm))


def metric_of_arms(champion: ArmSums, tried: ArmSums, margin: float, alpha: float, alpha_harm: float) -> Finding:
    """Judge the tried version by the mean losses of two arms, each of which predicted units of its own."""
    n = champion.labelled + tried.labelled
    one, other = _sample(champion), _sample(tried)
    found, harm = anytime.difference(one, other, alpha), anytime.difference(one, other, alpha_harm)
    if found is None or harm is None:
        reason = (
            f"{tried.labelled:,} labelled units of v{tried.model_version} and {champion.labelled:,} of"
            f" v{champion.model_version} are too few: each needs {anytime.LEAST_UNITS}, of them"
            f" {anytime.LEAST_OUTCOMES} right and {anytime.LEAST_OUTCOMES} wrong"
        )
        return Finding(Figure("metric", None, 0.0 - margin, n, reason))
    observed, lower, _ = found
    upper = harm[2]
    reason = (
        f"mean loss of v{tried.model_version} {_by(observed)} on {tried.labelled:,} labelled units, against"
        f" {champion.labelled:,} of v{champion.model_version}: at least {lower:.4g}, at most {upper:.4g}"
    )
    interval = Interval(observed, lower, upper, 0.0 - margin)
    figure = Figure("metric", observed, 0.0 - margin, n, reason)
    return Finding(figure, upper < -margin, lower > -margin, interval=interval)


def _sample(arm: ArmSums) -> Sample:
    return Sample(arm.labelled, arm.loss, arm.loss2)


def agreement(measured: RolloutMeasured, required: float, alpha: float, alpha_harm: float) -> Finding:
    """Judge the share of the rows on which both versions agree, without labels."""
    agreed, n = measured.agreed, measured.compared
    high, low = anytime.above(agreed, n, required), anytime.below(agreed, n, required)
    enough = high >= low
    log_e, level = (high, alpha) if enough else (low, alpha_harm)
    reason = (
        f"agrees with v{measured.champion.model_version} on {agreed:,} of {n:,} rows (labels were not known): that it"
        f" is {'at least' if enough else 'less than'} {percent(required)}, {_evidence(log_e, level)}"
    )
    figure = Figure("agreement", agreed / n if n else None, required, n, reason)
    gain = Evidence(f"it agrees on at least {percent(required)}", max(high, WEAKEST), -math.log(alpha), harm=False)
    harm = Evidence(f"it agrees on less than {percent(required)}", max(low, WEAKEST), -math.log(alpha_harm))
    return Finding(figure, harm.decides, gain.decides, (gain, harm))


def sample_ratio(champion: ArmSums, tried: ArmSums, share: float) -> Finding:
    """Judge whether the version received the share of the units that it was to receive."""
    n = champion.units + tried.units
    log_e = anytime.off_share(tried.units, n, share)
    reason = (
        f"v{tried.model_version} received {tried.units:,} of {n:,} units, {percent(share)} were to be its:"
        f" {_evidence(log_e, ALPHA_RATIO)}"
    )
    figure = Figure("sample ratio", tried.units / n if n else None, share, n, reason)
    evidence = Evidence("the routing is broken", max(log_e, WEAKEST), -math.log(ALPHA_RATIO))
    return Finding(figure, evidence.decides, evidence=(evidence,))


def _strength(p: float) -> float:
    return -math.log(max(p, 1e-300))


def _by(lower: float) -> str:
    return f"lower by {lower:.4g}" if lower >= 0 else f"higher by {-lower:.4g}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _evidence(log_e: float, alpha: float) -> str:
    """Return the evidence as odds: 34 to 1; from 1/alpha to 1 on, it decides."""
    if log_e >= math.log(1e6):
        odds = "more than a million"
    else:
        odds = f"{math.exp(log_e):,.0f}" if log_e > math.log(1000) else f"{math.exp(log_e):.3g}"
    return f"evidence {odds} to 1 ({1 / alpha:,.0f} to 1 decides)"


def _chance(p: float, alpha: float) -> str:
    return f"{percent(p) if p >= 1e-6 else 'less than one in a million'} (at most {percent(alpha)} decides)"
