"""Gate: the challenger is good enough, against the champion on the same golden rows or, without one, on its own."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Delta, Minimum, Performance
from contracts.policy import ModelPolicy
from gatekeeper.policy.absolute import cold_start, minimum
from gatekeeper.policy.compared import GATE, Facts, interval, percent, too_few, undecided, verdict
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Interval, Section
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.alpha_spending import spent
from gatekeeper.policy.statistics.estimates import Difference, Unmeasurable, direction

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

__all__ = ["Facts", "decide", "facts", "name", "needs", "section"]

name = GATE
needs = frozenset({Need.CANDIDATE, Need.CHAMPION, Need.TRAINING_KEYS})


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    """Select the clean golden rows: those that neither model was trained on."""
    clean, clusters = leakage.clean_rows(measurements, policy), measurements.clusters
    return Facts(
        problem=policy.problem,
        metric=policy.metric,
        measurement_error=measurements.comparison_error(),
        **measurements.compared(clean),
        unlabelled=measurements.golden.unlabelled if measurements.golden else 0,
        clusters=None if clusters is None else clusters[clean],
        k=measurements.k,
        series=measurements.series(clean),
    )


def decide(facts: Facts, settings: Performance) -> GateVerdict:
    """Decide by the rule of the policy; Inconclusive, with the reason, if something cannot be measured."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.truth is None or facts.challenger is None or len(facts.truth) == 0:
        return undecided(facts, "there are no golden rows with labels")
    if few := too_few(facts, facts.truth):
        return undecided(facts, few)
    alpha = spent(settings.alpha, facts.k) if settings.alpha_spending else settings.alpha
    try:
        if isinstance(settings.rule, Minimum):
            return minimum(facts, facts.truth, facts.challenger, settings, settings.rule.minimum)
        if facts.champion_version is None:
            return cold_start(facts, facts.truth, facts.challenger, settings)
        if facts.champion is None:
            return undecided(facts, f"champion v{facts.champion_version} has not answered the golden rows")
        pair = facts.challenger, facts.champion
        found = estimates.difference(facts.metric, facts.truth, *pair, alpha, facts.clusters, facts.series)
        trivial = estimates.trivial(facts.metric, facts.truth, facts.series)
    except Unmeasurable as error:
        return undecided(facts, f"{facts.metric}: {error}")
    details = interval(found) | {
        "challenger": found.first,
        "champion": found.second,
        "difference": found.value,
        "alpha": settings.alpha,
        "alpha_k": alpha,
        "k": facts.k,
    }
    if isinstance(settings.rule, Delta):
        return _delta(facts, found, settings.rule.delta, details)
    return _relative(facts, found, trivial, settings, alpha, details)


def _relative(
    facts: Facts, found: Difference, trivial: float, settings: Performance, alpha: float, details: dict[str, Any]
) -> GateVerdict:
    """Decide by the confidence bounds, if they are decisive; else too few rows are Inconclusive (docs/adr/0004)."""
    worth = direction(facts.metric) * (found.second - trivial)
    margin = settings.margin_share * max(0.0, worth)
    bound = -margin if settings.rule == "non_inferior" else 0.0
    needed = estimates.rows_for_power(found.n, found.se, margin, alpha)
    how = f"{_against(facts, found)}, {_level(facts, settings, alpha)} bounds {found.lower:+.4f} to {found.upper:+.4f}"
    if found.lower > bound:
        outcome, reason = Outcome.PASSED, f"{how}: {_claim(settings, margin)}"
    elif found.upper < bound:
        outcome, reason = Outcome.FAILED, f"{how}: worse{f' by more than {margin:.4f}' if bound else ''}"
    elif needed is not None and found.n < needed:
        outcome = Outcome.INCONCLUSIVE
        reason = f"underpowered: {how}; {found.n} rows cannot tell a difference of {margin:.4f}, it needs {needed} rows"
    else:
        outcome, reason = Outcome.FAILED, f"{how}: not shown to be {_claim(settings, margin)}"
    details |= {
        "rule": settings.rule,
        "trivial": trivial,
        "needed_difference": bound,
        "rows_for_power": needed,
        "power": estimates.power(found.se, margin, alpha),
    }
    return verdict(facts, outcome, reason, found.first, found.second, margin, details)


def _delta(facts: Facts, found: Difference, delta: float, details: dict[str, Any]) -> GateVerdict:
    """Decide by a fixed difference of point estimates; report the chance that an equal model passes."""
    outcome = Outcome.PASSED if found.value > delta else Outcome.FAILED
    risk = 1 - NormalDist().cdf(delta / found.se) if found.se > 0 else float(delta < 0)
    reason = (
        f"{_against(facts, found)}; must be above {delta:+g}. An equal model passes this rule {risk:.1%} of the time"
    )
    details |= {"rule": {"delta": delta}, "false_promotion_risk": risk}
    beyond = found.second + direction(facts.metric) * delta
    return verdict(facts, outcome, reason, found.first, beyond, None, details)


def _against(facts: Facts, found: Difference) -> str:
    words = f" ({found.units.words})" if found.units.words else ""
    return (
        f"{facts.metric} {found.first:.4f} against champion v{facts.champion_version}'s {found.second:.4f}"
        f" on the same {found.n} rows{words}: {'better' if found.value >= 0 else 'worse'} by {abs(found.value):.4f}"
    )


def _claim(settings: Performance, margin: float) -> str:
    return "better" if settings.rule == "superior" else f"not worse by more than {margin:.4f}"


def _level(facts: Facts, settings: Performance, alpha: float) -> str:
    if not settings.alpha_spending:
        return percent(alpha)
    return f"{percent(alpha)} (α {alpha:.2g} of {settings.alpha:g}, for challenger {facts.k} on these rows)"


def section(verdict: GateVerdict) -> Section:
    """Show the difference with its bounds, and what is missing for a pass."""
    details = verdict.details
    if verdict.metric is None or "difference" not in details:
        return Section(to_pass=_more_rows(verdict))
    value, lower, upper = details["difference"], details["lower"], details["upper"]
    rule = details.get("rule")
    bound = rule.get("delta") if isinstance(rule, dict) else details.get("needed_difference")
    drawn = Interval(f"difference in {verdict.metric}, better to the right", value, lower, upper, bound)
    if verdict.outcome is Outcome.PASSED or bound is None:
        return Section((drawn,))
    reach = bound if "needed_difference" not in details else bound + value - lower
    told = f"With bounds as wide as these, a difference of {reach:+.4f} or more; it is {value:+.4f}."
    return Section((drawn,), to_pass=" ".join(filter(None, (told, _more_rows(verdict)))))


def _more_rows(verdict: GateVerdict) -> str | None:
    needed = verdict.details.get("rows_for_power")
    if needed is None or verdict.n is None or needed <= verdict.n:
        return None
    return f"{needed:,} golden rows would show a difference of the margin four times in five; there are {verdict.n:,}."
