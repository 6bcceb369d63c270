"""The next action of a rollout: pure functions from its step, what was measured, and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts import Mode, Stage
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, ABStage, Canary, CanaryStage, Judged, Limits, Shadow

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
    limits: Limits = Limits()
    agreement: float = 0.95
    tests: int = 1
    """Over how many tests of harm the rollout's error rate α_h is divided."""
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
    tests = sum(len(step.on) for step in steps)
    steps = [_with_tests(step, tests) for step in steps]
    if policy.approval is not None:
        steps.append(Step(Stage.APPROVAL, duration=policy.approval.expires, people=policy.approval.people))
    return tuple(steps)


def watch_of(policy: ModelPolicy) -> Step | None:
    """Return the step after the promotion."""
    watch = policy.watch
    if watch is None:
        return None
    return Step(
        Stage.WATCH,
        Mode.SHADOW,
        on=watch.on,
        duration=watch.for_,
        limits=Limits(errors=watch.errors, latency_factor=watch.latency_factor),
        tests=len(watch.on),
        rolls_back=watch.rollback,
    )


def is_over(step: Step, began_at: datetime, now: datetime) -> bool:
    """Return whether the step's duration has passed."""
    return now >= began_at + step.duration


def _with_tests(step: Step, tests: int) -> Step:
    return step if step.mode is Mode.OFF else Step(**{**vars(step), "tests": tests})


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
