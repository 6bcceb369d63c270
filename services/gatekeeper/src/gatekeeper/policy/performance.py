"""Gate: is the challenger good enough, against the champion on the same golden rows or, without one, on its own?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.policy import Delta, Minimum, Performance, Problem
from gatekeeper.policy import statistics
from gatekeeper.policy.statistics import (
    Answers,
    Difference,
    Estimate,
    Unmeasurable,
    direction,
)
from gatekeeper.policy.trouble import Trouble

name = "performance"

FEWEST_ROWS = 30  # below, the normal approximation of the bounds is not to be believed
FEWEST_OF_A_CLASS = 5
NEAR_MISS = 0.01  # a fixed minimum's risk is reported for a model that misses it by this


@dataclass(frozen=True, eq=False)
class Facts:
    """Labels of the golden rows and what both models said of them. `champion_version` is None in a cold start."""

    problem: Problem
    metric: str
    trouble: Trouble | None = None
    truth: NDArray[Any] | None = None
    challenger: Answers | None = None
    champion: Answers | None = None
    champion_version: int | None = None
    unlabelled: int = 0


def decide(facts: Facts, settings: Performance) -> GateVerdict:
    """Whatever cannot be measured is Inconclusive, with the reason."""
    if facts.trouble is not None:
        return facts.trouble.verdict(name)
    if facts.truth is None or facts.challenger is None or len(facts.truth) == 0:
        return _undecided(facts, "there are no golden rows with labels")
    if too_few := _too_few(facts.problem, facts.truth):
        return _undecided(facts, too_few)
    try:
        if isinstance(settings.rule, Minimum):
            return _minimum(facts, facts.truth, facts.challenger, settings, settings.rule.minimum)
        if facts.champion_version is None:
            return _cold_start(facts, facts.truth, facts.challenger, settings)
        if facts.champion is None:
            return _undecided(
                facts,
                f"champion v{facts.champion_version} has not answered the golden rows",
            )
        found = statistics.difference(facts.metric, facts.truth, facts.challenger, facts.champion, settings.alpha)
        trivial = statistics.trivial(facts.metric, facts.truth)
    except Unmeasurable as error:
        return _undecided(facts, f"{facts.metric}: {error}")
    if isinstance(settings.rule, Delta):
        return _delta(facts, found, settings.rule.delta)
    return _relative(facts, found, trivial, settings)


def _relative(facts: Facts, found: Difference, trivial: float, settings: Performance) -> GateVerdict:
    """A bound that decides, decides; otherwise too few rows are Inconclusive (docs/adr/0004)."""
    worth = direction(facts.metric) * (found.second - trivial)
    margin = settings.margin_share * max(0.0, worth)
    bound = -margin if settings.rule == "non_inferior" else 0.0
    needed = statistics.rows_for_power(found.n, found.se, margin, settings.alpha)
    how = f"{_against(facts, found)}, {_level(settings)} bounds {found.lower:+.4f} to {found.upper:+.4f}"
    if found.lower > bound:
        outcome, reason = Outcome.PASSED, f"{how}: {_claim(settings, margin)}"
    elif found.upper < bound:
        outcome, reason = (
            Outcome.FAILED,
            f"{how}: worse{f' by more than {margin:.4f}' if bound else ''}",
        )
    elif needed is not None and found.n < needed:
        outcome = Outcome.INCONCLUSIVE
        reason = f"underpowered: {how}; {found.n} rows cannot tell a difference of {margin:.4f}, it needs {needed} rows"
    else:
        outcome, reason = (
            Outcome.FAILED,
            f"{how}: not shown to be {_claim(settings, margin)}",
        )
    details = _details(found, settings.alpha) | {
        "rule": settings.rule,
        "trivial": trivial,
        "needed_difference": bound,
        "rows_for_power": needed,
    }
    return _verdict(facts, outcome, reason, found.first, found.second, margin, details)


def _delta(facts: Facts, found: Difference, delta: float) -> GateVerdict:
    """A fixed step on the point estimates, with the chance that an equal model would have passed it."""
    outcome = Outcome.PASSED if found.value > delta else Outcome.FAILED
    risk = 1 - NormalDist().cdf(delta / found.se) if found.se > 0 else float(delta < 0)
    reason = (
        f"{_against(facts, found)}; must be above {delta:+g}. An equal model passes this rule {risk:.1%} of the time"
    )
    details = _details(found, 0.05) | {
        "rule": {"delta": delta},
        "false_promotion_risk": risk,
    }
    return _verdict(
        facts,
        outcome,
        reason,
        found.first,
        found.second + direction(facts.metric) * delta,
        None,
        details,
    )


def _minimum(
    facts: Facts,
    truth: NDArray[Any],
    challenger: Answers,
    settings: Performance,
    minimum: dict[str, float],
) -> GateVerdict:
    """Fixed values for single metrics; without a champion the floor and the trivial baseline hold as well."""
    misses: list[str] = []
    measured: dict[str, Any] = {}
    for metric, least in minimum.items():
        found = statistics.estimate(metric, truth, challenger, settings.alpha)
        sign = direction(metric)
        risk = 1 - NormalDist().cdf(NEAR_MISS / found.se) if found.se > 0 else 0.0
        measured[metric] = {
            "value": found.value,
            "minimum": least,
            "se": found.se,
            "near_miss_passes": risk,
        }
        if sign * found.value < sign * least:
            misses.append(f"{metric} is {found.value:.4f}, {'at least' if sign > 0 else 'at most'} {least:g} is asked")
    main = next(iter(minimum)) if facts.metric not in minimum else facts.metric
    details = {"rule": {"minimum": minimum}, "measured": measured}
    observed, bound = measured[main]["value"], minimum[main]
    if misses:
        return _verdict(
            facts,
            Outcome.FAILED,
            "; ".join(misses),
            observed,
            bound,
            None,
            details,
            metric=main,
        )
    if facts.champion_version is None:
        cold = _cold_start(facts, truth, challenger, settings)
        if cold.outcome is not Outcome.PASSED:
            return cold
    words = ", ".join(f"{metric} {found['value']:.4f}" for metric, found in measured.items())
    reason = f"{words}: every minimum is reached. The champion is not looked at"
    return _verdict(facts, Outcome.PASSED, reason, observed, bound, None, details, metric=main)


def _cold_start(facts: Facts, truth: NDArray[Any], challenger: Answers, settings: Performance) -> GateVerdict:
    """No champion: every floor, and better than a constant answer, at the confidence bound."""
    bars = [
        (
            facts.metric,
            statistics.trivial(facts.metric, truth),
            "a constant answer's",
            True,
        )
    ]
    bars += [(metric, value, "the floor", False) for metric, value in settings.floor.items()]
    verdicts = [
        _bar(
            facts,
            statistics.estimate(metric, truth, challenger, settings.alpha),
            metric,
            bar,
            settings,
        )
        for metric, *bar in bars
    ]
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        for verdict in verdicts:
            if verdict.outcome is outcome:
                return verdict
    reason = "no champion yet; " + "; ".join(verdict.reason for verdict in verdicts)
    own = next(
        (verdict for verdict in verdicts[1:] if verdict.metric == facts.metric),
        verdicts[0],
    )
    return own.model_copy(update={"reason": reason})


def _bar(facts: Facts, found: Estimate, metric: str, bar: list[Any], settings: Performance) -> GateVerdict:
    value, label, strictly = bar
    sign = direction(metric)
    surely, possibly = (found.lower, found.upper) if sign > 0 else (-found.upper, -found.lower)
    point, need = sign * found.value, sign * value
    needed = statistics.rows_for_power(found.n, found.se, point - need, settings.alpha)
    said = f"{metric} {found.value:.4f}, {_level(settings)} bound {sign * surely:.4f}, against {label} {value:.4f}"
    if surely > need or (surely == need and not strictly):
        outcome, reason = Outcome.PASSED, said
    elif possibly < need or point <= need:
        outcome, reason = Outcome.FAILED, f"{said}: not reached"
    else:
        outcome, reason = (
            Outcome.INCONCLUSIVE,
            f"underpowered: {said}; it needs about {needed} rows, has {found.n}",
        )
    details = {
        "rule": "cold start",
        "lower": found.lower,
        "upper": found.upper,
        "se": found.se,
    }
    details |= {"alpha": settings.alpha, "rows_for_power": needed, "bar": label}
    return _verdict(facts, outcome, reason, found.value, value, None, details, metric=metric)


def _too_few(problem: Problem, truth: NDArray[Any]) -> str | None:
    if len(truth) < FEWEST_ROWS:
        return f"underpowered: {len(truth)} golden rows with labels; at least {FEWEST_ROWS} are needed"
    if problem == "binary":
        positive = int((truth == 1).sum())
        rarer = min(positive, len(truth) - positive)
        if rarer < FEWEST_OF_A_CLASS:
            return f"underpowered: {rarer} golden rows of the rarer class; at least {FEWEST_OF_A_CLASS} are needed"
    return None


def _against(facts: Facts, found: Difference) -> str:
    return (
        f"{facts.metric} {found.first:.4f} against champion v{facts.champion_version}'s {found.second:.4f}"
        f" on the same {found.n} rows: {'better' if found.value >= 0 else 'worse'} by {abs(found.value):.4f}"
    )


def _claim(settings: Performance, margin: float) -> str:
    return "better" if settings.rule == "superior" else f"not worse by more than {margin:.4f}"


def _level(settings: Performance) -> str:
    return f"{100 * (1 - settings.alpha):g} %"


def _details(found: Difference, alpha: float) -> dict[str, Any]:
    return {
        "challenger": found.first,
        "champion": found.second,
        "difference": found.value,
        "se": found.se,
        "lower": found.lower,
        "upper": found.upper,
        "alpha": alpha,
    }


def _verdict(
    facts: Facts,
    outcome: Outcome,
    reason: str,
    observed: float,
    bound: float,
    margin: float | None,
    details: dict[str, Any],
    metric: str | None = None,
) -> GateVerdict:
    details["champion_version"], details["unlabelled"] = (
        facts.champion_version,
        facts.unlabelled,
    )
    return GateVerdict(
        gate=name,
        outcome=outcome,
        reason=reason,
        metric=metric or facts.metric,
        observed=observed,
        bound=bound,
        margin=margin,
        n=0 if facts.truth is None else len(facts.truth),
        details=details,
    )


def _undecided(facts: Facts, reason: str) -> GateVerdict:
    n = 0 if facts.truth is None else len(facts.truth)
    return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason, metric=facts.metric, n=n)
