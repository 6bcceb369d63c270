"""The steps of a rollout, as its policy says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from contracts import Mode, Stage
from contracts.gate_settings import Performance
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, ABStage, Canary, CanaryStage, Judged, Limits, Shadow

ALPHA_HARM = 0.01
"""Probability with which a rollout stops a version that does no harm; of all its steps together."""
LATER_ERRORS = 0.1
"""Errors of a step are judged at this share of the level of the step before: most is spent where harm is met first."""
STAGING_LIMIT = timedelta(minutes=15)
"""In which a staging replica must have loaded the version."""


@dataclass(frozen=True)
class Step:
    """One step of a rollout, as its policy says."""

    stage: Stage
    mode: Mode = Mode.OFF
    share: float = 0.0
    on: tuple[Judged, ...] = ()
    decides: bool = False
    """On the metric or on agreement: it ends with proof, or at the maximum with the champion. False: without harm it is
    over after its duration and minimum."""
    minimum: int = 0
    """Units with a label (metric), rows compared (agreement), or predictions of the tried version, before the end."""
    maximum: int | None = None
    duration: timedelta = timedelta(0)
    """Minimum of a canary's step; total of a watch; limit of an approval or of staging."""
    limits: Limits = field(default_factory=Limits)
    agreement: float = 0.95
    alpha: float = 0.05
    """Error rate of "it is better" and of "they agree": that of the policy's performance gate."""
    alpha_errors: float = 0.01
    """Error rate of "it fails more often", a part of ALPHA_HARM."""
    alpha_harm: float = 0.01
    """Error rate of each other test of harm, a part of ALPHA_HARM."""
    rolls_back: bool = True
    people: int = 0


def plan(policy: ModelPolicy) -> tuple[Step, ...]:
    """Return the steps between the verdict and the promotion, in order; empty: it is promoted at once."""
    steps: list[Step] = []
    if policy.staging == "smoke":
        steps.append(Step(Stage.STAGING, duration=STAGING_LIMIT))
    for trial in policy.strategy:
        match trial:
            case CanaryStage(canary=canary):
                steps += _canary(canary)
            case ABStage(ab=ab):
                steps.append(_ab(ab))
            case _:
                steps.append(_shadow(trial.shadow))
    gate = policy.gates.performance
    steps = _with_levels(steps, gate.alpha if gate else Performance().alpha)
    if policy.approval is not None:
        steps.append(Step(Stage.APPROVAL, duration=policy.approval.expires, people=policy.approval.people))
    return tuple(steps)


def watch_of(policy: ModelPolicy) -> Step | None:
    """Return the step after the promotion."""
    watch = policy.watch
    if watch is None:
        return None
    step = Step(
        Stage.WATCH,
        Mode.SHADOW,
        on=watch.on,
        duration=watch.for_,
        limits=Limits(errors=watch.errors, latency_factor=watch.latency_factor),
        rolls_back=watch.rollback,
    )
    return _with_levels([step], step.alpha)[0]


def is_over(step: Step, began_at: datetime, now: datetime) -> bool:
    """Return whether the step's duration has passed."""
    return now >= began_at + step.duration


def _with_levels(steps: list[Step], alpha: float) -> list[Step]:
    """Divide ALPHA_HARM among the tests of harm: half to errors, most of it at the first step, the rest evenly."""
    others = sum(judged != "errors" for step in steps for judged in step.on)
    left = sum("errors" in step.on for step in steps)
    for_errors = (ALPHA_HARM / 2 if others else ALPHA_HARM) if left else 0.0
    each = (ALPHA_HARM - for_errors) / max(1, others)
    found = []
    for step in steps:
        of_step = 0.0
        if "errors" in step.on:
            left -= 1
            of_step = for_errors * (1 - LATER_ERRORS) if left else for_errors
            for_errors -= of_step
        judged = replace(step, alpha=alpha, alpha_errors=of_step, alpha_harm=each)
        found.append(step if step.mode is Mode.OFF else judged)
    return found


def _shadow(shadow: Shadow) -> Step:
    least, most = shadow.rows
    return Step(
        Stage.SHADOW,
        Mode.SHADOW,
        on=shadow.on,
        decides="metric" in shadow.on or "agreement" in shadow.on,
        minimum=least,
        maximum=most,
        limits=shadow,
        agreement=shadow.agreement,
    )


def _canary(canary: Canary) -> list[Step]:
    return [
        Step(
            Stage.CANARY,
            Mode.SPLIT,
            share,
            on=canary.on,
            decides="metric" in canary.on and share == canary.steps[-1],
            minimum=canary.minimum,
            maximum=canary.maximum,
            duration=canary.bake,
            limits=canary,
        )
        for share in canary.steps
    ]


def _ab(ab: AB) -> Step:
    return Step(
        Stage.AB,
        Mode.SPLIT,
        ab.share,
        on=ab.on,
        decides=True,
        minimum=ab.minimum,
        maximum=ab.maximum,
        limits=ab,
    )
