"""How many entities a rollout needs until it shows that a version is better or worse: closed forms, before it begins.

The tests are those of the gatekeeper, which hold however often one looks. Each formula returns the number of units at
which the evidence reaches its bound at a quantile of what may come; evidence that was there before and fell again is
not counted, so the true numbers are a little smaller (tests/unit/gauntlet/test_rollout_power.py simulates them).
Two ordinary models are assumed, as in `power_analysis`, here of accuracy 0.75; what losses of regressions are spread by
depends on the data, and is assumed to be as much as that of Brier scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

from contracts.gate_settings import Performance
from contracts.losses import LossKind, loss_of
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, ABStage, Canary, CanaryStage, Shadow, ShadowStage
from contracts.rollouts import BETS
from gauntlet.power_analysis import CLOSELY, LOOSELY, NORMAL, ORDINARY, disagreement
from gauntlet.quantities import percent

GAIN, HARM = 0.02, -0.05
"""Differences of accuracy that the figures are for; of regressions, of the mean loss as a share of its range."""
BRIER = {GAIN: 0.0114, HARM: -0.0264}
"""What they are of the Brier score, its sign turned."""
PAIRED_SPREAD = {CLOSELY: 0.10, LOOSELY: 0.17}
"""Standard deviation of the difference of two Brier scores of one row, for models that correlate so."""
SPREAD = 0.20
"""Standard deviation of a Brier score."""
HARM_ALPHA = 0.01
"""Error rate of all tests of harm of a rollout."""
OF_GAIN, OF_HARM = 20.0, 3.0
"""a of the Beta prior of the share of discordant pairs that only the better version predicts correctly."""
TUNED_AT = 2_500
"""Units at which a confidence sequence of two arms is the narrowest."""
MOST = 1 << 34
NEARLY_ALWAYS = 0.95


@dataclass(frozen=True)
class Need:
    """Units (entities, or rows in a policy without entity) until a step shows a difference."""

    step: str
    """shadow, canary or ab."""
    shown: str
    gain: bool
    """Whether it ends the step well."""
    usual: tuple[int, int]
    """Reached half of the time: for closely and loosely correlated models."""
    most: int
    """Reached 19 of 20 times, for loosely correlated ones."""
    maximum: int | None
    """After which the champion stays."""
    share: float = 1.0
    """Of the entities that the version serves; 1: all of them, in a shadow."""


def needs(policy: ModelPolicy) -> list[Need]:
    """Return what each step that compares by labels needs, for a gain and a harm; and what agreement needs."""
    return [need for name, trial in named(policy) for need in _of_trial(policy, name, trial)]


def named(policy: ModelPolicy) -> Iterator[tuple[str, Shadow | Canary | AB]]:
    """Yield each trial with its name."""
    for stage in policy.strategy:
        match stage:
            case ShadowStage(shadow=shadow):
                yield "shadow", shadow
            case CanaryStage(canary=canary):
                yield "canary", canary
            case ABStage(ab=ab):
                yield "ab", ab


def loss(policy: ModelPolicy) -> LossKind | None:
    """Return the loss that labels are compared by; None while the problem is not known."""
    return loss_of(policy.metric, policy.problem) if policy.states_problem else None


def harm_alpha(policy: ModelPolicy) -> float:
    """Return the error rate of each test of harm by labels: half of it is spent on errors, the rest evenly."""
    judged = [on for _, trial in named(policy) for on in trial.on for _ in range(_steps(trial))]
    others = sum(on != "errors" for on in judged)
    return (HARM_ALPHA / 2 if "errors" in judged else HARM_ALPHA) / max(1, others)


def _steps(trial: Shadow | Canary | AB) -> int:
    return len(trial.steps) if isinstance(trial, Canary) else 1


def _of_trial(policy: ModelPolicy, name: str, trial: Shadow | Canary | AB) -> Iterator[Need]:
    gate = policy.gates.performance
    alpha = gate.alpha if gate else Performance().alpha
    of_harm = harm_alpha(policy)
    if "agreement" in trial.on and isinstance(trial, Shadow):
        yield _agreement(name, trial, alpha)
    if "metric" not in trial.on:
        return
    if (kind := loss(policy)) is not None:
        for effect, error in ((GAIN, alpha), (HARM, of_harm)):
            yield _compared(name, trial, kind, effect, error)


def _agreement(name: str, shadow: Shadow, alpha: float) -> Need:
    """For a version that disagrees half as often as it may."""
    bound, true = shadow.agreement, (1 + shadow.agreement) / 2
    usual, most = (max(shadow.rows[0], agreeing(true, bound, alpha, q)) for q in (0.5, NEARLY_ALWAYS))
    return Need(name, f"agrees on {percent(true)}", True, (usual, usual), most, shadow.rows[1])


def _compared(name: str, trial: Shadow | Canary | AB, kind: LossKind, effect: float, error: float) -> Need:
    is_gain, margin = effect > 0, trial.margin
    if isinstance(trial, Shadow):
        share, least, most = 1.0, trial.rows[0], trial.rows[1]
    elif isinstance(trial, AB):
        share = trial.share
        least, most = math.ceil(trial.minimum / min(share, 1 - share)), trial.maximum
    else:
        share = trial.steps[-1]
        least, most = math.ceil(trial.minimum / share), math.ceil(trial.maximum / share)

    def units(correlation: float, quantile: float) -> int:
        if isinstance(trial, Shadow):
            found = paired(kind, effect, margin, error, correlation, quantile)
        else:
            found = two_arms(kind, effect, margin, error, share, quantile)
        return max(found, least) if is_gain else found

    usual = units(CLOSELY, 0.5), units(LOOSELY, 0.5)
    shown = _shown(kind, effect)
    return Need(name, shown, is_gain, usual, units(LOOSELY, NEARLY_ALWAYS), most if is_gain else None, share)


def _shown(kind: LossKind, effect: float) -> str:
    word = "better" if effect > 0 else "worse"
    if kind is LossKind.ZERO_ONE:
        return f"{word}: accuracy {effect:+g}"
    if kind is LossKind.BRIER:
        return f"{word}: Brier score {-BRIER[effect]:+g} (as accuracy {effect:+g})"
    return f"{word}: mean loss {-effect:+g} of its range"


def paired(kind: LossKind, effect: float, margin: float, alpha: float, correlation: float, quantile: float) -> int:
    """Return the units of a shadow until `effect` is shown, with probability `quantile`."""
    if kind is LossKind.ZERO_ONE and margin == 0:
        return discordant(disagreement(ORDINARY, correlation), effect, alpha, quantile)
    difference = BRIER[effect] if kind is LossKind.BRIER else effect
    spread = PAIRED_SPREAD[correlation]
    if kind is LossKind.ZERO_ONE:
        spread = math.sqrt(disagreement(ORDINARY, correlation) - effect**2)
    if difference > 0:
        return betting((difference + margin) / (1 - margin), spread / (1 - margin), alpha, quantile)
    return betting((-difference - margin) / (1 + margin), spread / (1 + margin), alpha, quantile)


def discordant(disagree: float, effect: float, alpha: float, quantile: float) -> int:
    """Units until a Beta mixture over the discordant pairs reaches 1/α: right/wrong, without a margin."""
    p, prior = (disagree + abs(effect)) / (2 * disagree), OF_GAIN if effect > 0 else OF_HARM
    z = NORMAL.inv_cdf(quantile)
    if p >= 1:
        p = 1 - 1e-9

    def reached(pairs: int) -> bool:
        wins = pairs * p - z * math.sqrt(pairs * p * (1 - p))
        return discordant_evidence(pairs, wins, prior) >= math.log(1 / alpha)

    return math.ceil(_first(reached) / disagree)


def agreeing(true: float, bound: float, alpha: float, quantile: float) -> int:
    """Rows until a mixture over all larger shares shows that more than `bound` of them agree, where `true` do."""
    z = NORMAL.inv_cdf(quantile)

    def reached(rows: int) -> bool:
        agreed = rows * true - z * math.sqrt(rows * true * (1 - true))
        rest = rows - agreed
        mixed = _log_beta(agreed + 1, rest + 1) + _log_above(bound, agreed + 1, rest + 1) - math.log(1 - bound)
        return mixed - agreed * math.log(bound) - rest * math.log(1 - bound) >= math.log(1 / alpha)

    return _first(reached)


def discordant_evidence(pairs: int, wins: float, prior: float) -> float:
    """log(2ⁿ · B(a+w, a+l)/B(a, a) · 2·P(Beta(a+w, a+l) > ½))."""
    x, y = prior + wins, prior + pairs - wins
    return pairs * math.log(2) + _log_beta(x, y) - _log_beta(prior, prior) + math.log(2) + _log_above(0.5, x, y)


def _log_above(least: float, x: float, y: float) -> float:
    """log P(Beta(x, y) > least), by the normal distribution."""
    if x <= 0 or y <= 0:
        return -math.inf
    spread = math.sqrt(x * y / ((x + y) ** 2 * (x + y + 1)))
    return math.log(max(1e-300, 1 - NormalDist(x / (x + y), spread).cdf(least)))


def _log_beta(x: float, y: float) -> float:
    return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)


def betting(mean: float, spread: float, alpha: float, quantile: float) -> int:
    """Units until the mean wealth of the bets reaches 1/α, each unit having this mean and standard deviation."""
    if mean <= 0:
        return MOST
    z = NORMAL.inv_cdf(quantile)
    second = spread**2 + mean**2

    def reached(units: int) -> bool:
        logs = [units * (g * mean - g**2 * second / 2) - z * g * spread * math.sqrt(units) for g in BETS]
        top = max(logs)
        return top + math.log(sum(math.exp(each - top) for each in logs) / len(BETS)) >= math.log(1 / alpha)

    return _first(reached)


def two_arms(kind: LossKind, effect: float, margin: float, alpha: float, share: float, quantile: float) -> int:
    """Entities, of both arms, until an asymptotic confidence sequence excludes what must be excluded.

    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 52, 2024.
    """
    difference = BRIER[effect] if kind is LossKind.BRIER else effect
    distance = difference + margin if difference > 0 else -difference - margin
    if distance <= 0:
        return MOST
    variance = ORDINARY * (1 - ORDINARY) if kind is LossKind.ZERO_ONE else SPREAD**2
    log = -2 * math.log(2 * alpha)
    tuned = (log + math.log1p(log)) / TUNED_AT
    z = NORMAL.inv_cdf(quantile)

    def reached(units: int) -> bool:
        v = 4 * share * (1 - share) * units * tuned
        width = math.sqrt(2 * (v + 1) / v * math.log1p(math.sqrt(v + 1) / (2 * alpha)))
        return math.sqrt(variance / (units * share * (1 - share))) * (width + z) <= distance

    return _first(reached)


def _first(reached: Callable[[int], bool]) -> int:
    """Return the smallest number that `reached` holds for from there on, at most MOST."""
    high = 1
    while not reached(high):
        high *= 2
        if high >= MOST:
            return MOST
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
