"""How many entities a rollout needs until it shows that a version is better or worse: closed forms, before it begins.

The formulas are `contracts.rollout_units`, by which the gatekeeper's console forecasts a rollout that runs.
Two ordinary models are assumed, as in `power_analysis`, here of accuracy 0.75; what losses of regressions are spread by
depends on the data, and is assumed to be as much as that of Brier scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from chassis.explain.quantities import percent
from chassis.explain.rollout import named
from contracts import rollout_units
from contracts.gate_settings import Performance
from contracts.losses import LossKind, loss_of
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, Canary, Shadow
from contracts.rollout_units import agreeing, betting, discordant
from gauntlet.power_analysis import CLOSELY, LOOSELY, ORDINARY, disagreement

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


def two_arms(kind: LossKind, effect: float, margin: float, alpha: float, share: float, quantile: float) -> int:
    """Return the entities, of both arms, until `effect` is shown, with probability `quantile`."""
    difference = BRIER[effect] if kind is LossKind.BRIER else effect
    distance = difference + margin if difference > 0 else -difference - margin
    variance = ORDINARY * (1 - ORDINARY) if kind is LossKind.ZERO_ONE else SPREAD**2
    return rollout_units.two_arms(distance, variance, alpha, share, quantile)
