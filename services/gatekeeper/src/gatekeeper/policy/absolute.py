"""Judge the challenger on its own, without a champion: the cold start and the rule `minimum`."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Performance
from gatekeeper.policy.compared import Facts, interval, percent, verdict
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Estimate, Predictions, direction

CONSTANT = "a constant answer's"
NEAR_MISS = 0.01  # the risk of a fixed minimum is reported for a model this far below it


def minimum(
    facts: Facts, truth: NDArray[Any], challenger: Predictions, settings: Performance, least_of: dict[str, float]
) -> GateVerdict:
    """Require fixed values of single metrics; without a champion, also the floor and the trivial baseline."""
    misses: list[str] = []
    measurements: dict[str, Any] = {}
    for metric, least in least_of.items():
        found = estimates.estimate(metric, truth, challenger, settings.alpha, facts.clusters, facts.series)
        sign = direction(metric)
        risk = 1 - NormalDist().cdf(NEAR_MISS / found.se) if found.se > 0 else 0.0
        measurements[metric] = {"value": found.value, "minimum": least, "near_miss_passes": risk} | interval(found)
        if sign * found.value < sign * least:
            misses.append(f"{metric} is {found.value:.4f}, {'at least' if sign > 0 else 'at most'} {least:g} is asked")
    main = next(iter(least_of)) if facts.metric not in least_of else facts.metric
    details = {"rule": {"minimum": least_of}, "measured": measurements}
    observed, bound = measurements[main]["value"], least_of[main]
    if misses:
        return verdict(facts, Outcome.FAILED, "; ".join(misses), observed, bound, None, details, metric=main)
    if facts.champion_version is None:
        cold = cold_start(facts, truth, challenger, settings)
        if cold.outcome is not Outcome.PASSED:
            return cold
    words = ", ".join(
        f"{metric} {found['value']:.4f} (a model {NEAR_MISS:g} short of it passes {found['near_miss_passes']:.1%} "
        "of the time)"
        for metric, found in measurements.items()
    )
    reason = f"{words}: every minimum is reached. The champion is not looked at"
    return verdict(facts, Outcome.PASSED, reason, observed, bound, None, details, metric=main)


def cold_start(facts: Facts, truth: NDArray[Any], challenger: Predictions, settings: Performance) -> GateVerdict:
    """Without a champion: require every floor, and better than a constant prediction, at the confidence bound."""
    bars = [(facts.metric, estimates.trivial(facts.metric, truth, facts.series), _trivial_answers(facts), True)]
    bars += [(metric, value, "the floor", False) for metric, value in settings.floor.items()]
    verdicts = [
        _bar(
            facts,
            estimates.estimate(metric, truth, challenger, settings.alpha, facts.clusters, facts.series),
            metric,
            bar,
            settings,
        )
        for metric, *bar in bars
    ]
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        for found in verdicts:
            if found.outcome is outcome:
                return found
    reason = "no champion yet; " + "; ".join(found.reason for found in verdicts)
    own = next((found for found in verdicts[1:] if found.metric == facts.metric), verdicts[0])
    return own.model_copy(update={"reason": reason})


def _trivial_answers(facts: Facts) -> str:
    """Describe whose value the trivial one is. Evidence before format 4, without the order, said it of constants."""
    if facts.series is not None and facts.series.at is not None:
        return {"mase": "the last value's", "directional_accuracy": "the commonest direction's"}.get(
            facts.metric, CONSTANT
        )
    return CONSTANT


def _bar(facts: Facts, found: Estimate, metric: str, bar: list[Any], settings: Performance) -> GateVerdict:
    value, label, strictly = bar
    sign = direction(metric)
    surely, possibly = (found.lower, found.upper) if sign > 0 else (-found.upper, -found.lower)
    point, need = sign * found.value, sign * value
    needed = estimates.rows_for_power(found.n, found.se, point - need, settings.alpha)
    level = percent(settings.alpha)
    words = f" ({found.units.words})" if found.units.words else ""
    said = f"{metric} {found.value:.4f}, {level} bound {sign * surely:.4f}{words}, against {label} {value:.4f}"
    if surely > need or (surely == need and not strictly):
        outcome, reason = Outcome.PASSED, said
    elif possibly < need or point <= need:
        outcome, reason = Outcome.FAILED, f"{said}: not reached"
    else:
        outcome = Outcome.INCONCLUSIVE
        reason = f"underpowered: {said}; it needs about {needed} rows, has {found.n}"
    details = interval(found) | {
        "rule": "cold start",
        "alpha": settings.alpha,
        "rows_for_power": needed,
        "bar": label,
    }
    return verdict(facts, outcome, reason, found.value, value, None, details, metric=metric)
