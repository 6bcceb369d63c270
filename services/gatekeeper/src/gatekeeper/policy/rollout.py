"""The next action of a rollout: pure functions from its step, what was measured, and the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts import Loss, Mode, RolloutMeasured, Stage
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
    limits: Limits = field(default_factory=Limits)
    agreement: float = 0.95
    alpha: float = 0.05
    """Error rate of "it is better" and of "they agree": that of the policy's performance gate."""
    tests: int = 1
    """Over how many tests of harm the rollout's error rate α_h is divided."""
    rolls_back: bool = True
    people: int = 0


@dataclass(frozen=True)
class Figure:
    """One figure that an action rests on."""

    name: str
    """What was measured: metric, errors, latency, agreement, sample ratio, predictions, labels."""
    observed: float | None
    bound: float | None
    """What it is compared with; None: with nothing."""
    n: int
    """Rows or units that it was measured on."""
    reason: str
    """One sentence, with the evidence for and against."""


@dataclass(frozen=True)
class Decided:
    reason: str
    """One sentence, with the figures that decide."""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Continue(Decided):
    """Nothing is decided yet."""

    warning: str | None = None
    """Harm that was seen in a watch that may not roll back."""


@dataclass(frozen=True)
class Advance(Decided):
    """The step is done: the next one begins, or after the last one the version is promoted (a watch ends)."""


@dataclass(frozen=True)
class Keep(Decided):
    """The champion stays: nothing was shown at the maximum, or nothing can be."""


@dataclass(frozen=True)
class Abort(Decided):
    """The tried version does harm: the champion stays."""


@dataclass(frozen=True)
class RollBack(Decided):
    """The new champion does harm: the former one takes over again."""


Action = Continue | Advance | Keep | Abort | RollBack


def next_action(
    step: Step,
    began_at: datetime,
    measured: RolloutMeasured | None,
    now: datetime,
    *,
    loss: Loss | None = None,
    load_failure: str | None = None,
) -> Action:
    """Return what follows for a trial or a watch from what was measured since the step began.

    `measured` of another step must not be passed; None: nothing came yet. `loss` is the step's RolloutChanged.loss; its
    margin is the step's (limits.margin). `load_failure` is the sentence of a replica that failed to load the tried
    version (in a watch: the new champion). Staging and approval are decided by what their callers know.
    """
    if step.mode is Mode.OFF:
        raise ValueError(f"{step.stage.value} is no trial and no watch")
    return Continue("nothing was measured yet")


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
