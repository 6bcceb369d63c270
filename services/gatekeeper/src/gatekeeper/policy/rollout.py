"""The next action of a rollout: pure functions from its step, what was measured, and the time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from contracts import Loss, Mode, RolloutMeasured, Stage
from gatekeeper.policy import rollout_figures as judge
from gatekeeper.policy.rollout_figures import Figure, Finding
from gatekeeper.policy.rollout_plan import Step, is_over, plan, watch_of

__all__ = [
    "Abort",
    "Action",
    "Advance",
    "Continue",
    "Decided",
    "Figure",
    "Keep",
    "RollBack",
    "Step",
    "counted",
    "decided_by",
    "findings",
    "is_over",
    "next_action",
    "plan",
    "watch_of",
]

PATIENCE = 10
"""A step on labels ends when this many times its maximum of units were predicted and the labels did not come."""


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

    `measured` is of this step; None: nothing came yet. `loss` is the step's RolloutChanged.loss, with the margin of the
    step's limits. `load_failure` is the sentence of a replica that failed to load the tried version (in a watch: the
    new champion). Raises ValueError for staging and approval, which are decided by what their callers know.
    """
    if step.mode is Mode.OFF:
        raise ValueError(f"{step.stage.value} is neither a trial nor a watch")
    if step.stage is Stage.WATCH:
        return _watch(step, is_over(step, began_at, now), measured, loss, load_failure)
    if load_failure is not None:
        return Abort(f"a replica failed to load it: {load_failure}")
    if measured is None or measured.tried.predictions == 0:
        return Continue("nothing was measured yet" if measured is None else "it has predicted nothing yet")
    found = findings(step, measured, loss)
    figures = tuple(each.figure for each in found.values())
    for name in ("errors", "latency", "sample ratio", "metric", "agreement"):
        if name in found and found[name].harm:
            return _ended(name, found[name].figure.reason, figures)
    if "metric" in step.on and loss is None:
        return Keep("the metric cannot be judged: this version's predictions have no loss", figures)
    return _progress(step, is_over(step, began_at, now), measured, found, figures)


def _ended(name: str, reason: str, figures: tuple[Figure, ...]) -> Abort | Keep:
    if name == "sample ratio":
        return Keep(f"the routing is broken, not the model: {reason}", figures)
    if name == "agreement":
        return Keep(f"it agrees too little: {reason}", figures)
    return Abort(f"{_HARM[name]}: {reason}", figures)


_HARM = {"errors": "it fails more often", "latency": "it is slower", "metric": "it is worse"}


def findings(step: Step, measured: RolloutMeasured, loss: Loss | None) -> dict[str, Finding]:
    """Return what the sums show, by what is judged: errors, latency, metric, agreement, sample ratio."""
    champion, tried = measured.champion, measured.tried
    found: dict[str, Finding] = {}
    if step.stage is Stage.WATCH:
        return _of_watch(step, measured, loss)
    for name in step.on:
        if name == "errors":
            history = measured.champion_history, measured.champion_history_errors
            found[name] = judge.errors(tried, champion, step.limits.errors, step.alpha_errors, history)
        elif name == "latency":
            found[name] = judge.latency(tried, champion, step.limits.latency_factor, step.alpha_harm)
        elif name == "agreement":
            found[name] = judge.agreement(measured, step.agreement, step.alpha, step.alpha_harm)
        elif loss is not None and step.mode is Mode.SHADOW:
            found[name] = judge.metric_of_pairs(measured.paired, loss, step.alpha, step.alpha_harm)
        elif loss is not None:
            found[name] = judge.metric_of_arms(champion, tried, loss.margin, step.alpha, step.alpha_harm)
    if step.mode is Mode.SPLIT:
        found["sample ratio"] = judge.sample_ratio(champion, tried, step.share)
    return found


def _progress(
    step: Step, over: bool, measured: RolloutMeasured, found: dict[str, Finding], figures: tuple[Figure, ...]
) -> Action:
    """Return what follows where no harm was shown."""
    judged = decided_by(step, found)
    unit, n, total = counted(step, judged, measured)
    if n < step.minimum:
        if judged == "metric" and step.maximum is not None and measured.tried.units >= PATIENCE * step.maximum:
            units = f"{measured.tried.units:,} units were predicted"
            return Keep(f"labels do not come: {units}, and {n:,} of at least {step.minimum:,} {unit}", figures)
        return Continue(f"{n:,} of at least {step.minimum:,} {unit}", figures)
    if not over:
        return Continue(f"{n:,} {unit}; the step takes at least {step.duration}", figures)
    if judged is None:
        return Advance(f"no harm was shown on {n:,} {unit}", figures)
    finding = found[judged]
    if finding.proven:
        how = "agrees" if judged == "agreement" else "is not worse" if step.limits.margin else "is better"
        return Advance(f"it {how}: {finding.figure.reason}", figures)
    if step.maximum is not None and total >= step.maximum:
        return Keep(f"nothing was shown on {total:,} {unit}, the maximum: {finding.figure.reason}", figures)
    if judged == "metric" and step.maximum is not None and measured.tried.units >= PATIENCE * step.maximum:
        return Keep(f"labels do not come: {measured.tried.units:,} units were predicted, {total:,} {unit}", figures)
    return Continue(f"not decided on {total:,} {unit}: {finding.figure.reason}", figures)


def decided_by(step: Step, found: Collection[str]) -> str | None:
    """Return what ends the step well: metric or agreement; None: only that no harm was shown."""
    return next((name for name in ("metric", "agreement") if step.decides and name in found), None)


def counted(step: Step, judged: str | None, measured: RolloutMeasured) -> tuple[str, int, int]:
    """Return the unit, the number of them that the minimum is about, and the number that the maximum is about."""
    if judged == "agreement":
        return "rows compared", measured.compared, measured.compared
    if judged == "metric" and step.mode is Mode.SHADOW:
        return "labelled units", measured.paired.n, measured.paired.n
    if judged == "metric" and step.stage is Stage.AB:
        labelled = measured.champion.labelled, measured.tried.labelled
        return "labelled units", min(labelled), sum(labelled)
    if judged == "metric":
        return "predictions of it", measured.tried.predictions, measured.tried.labelled
    return "predictions of it", measured.tried.predictions, measured.tried.predictions


def _watch(
    step: Step, over: bool, measured: RolloutMeasured | None, loss: Loss | None, load_failure: str | None
) -> Action:
    """Judge the new champion, with the former one as the tried version: roles are exchanged."""
    found = findings(step, measured, loss) if measured is not None else {}
    figures = tuple(each.figure for each in found.values())
    harm = [f"{_HARM[name]}: {each.figure.reason}" for name, each in found.items() if each.harm]
    if load_failure is not None:
        harm.insert(0, f"a replica failed to load it: {load_failure}")
    if harm and step.rolls_back:
        return RollBack(harm[0], figures)
    if over:
        seen = f"on {measured.champion.predictions:,} predictions" if measured else "and nothing was measured"
        ended = f"the watch ended with harm, and may not roll back: {harm[0]}" if harm else f"no harm was shown {seen}"
        return Advance(ended, figures)
    if harm:
        return Continue("the watch may not roll back", figures, warning=harm[0])
    return Continue("no harm was shown" if measured else "nothing was measured yet", figures)


def _of_watch(step: Step, measured: RolloutMeasured, loss: Loss | None) -> dict[str, Finding]:
    champion, former = measured.champion, measured.tried
    found: dict[str, Finding] = {}
    if "errors" in step.on:
        found["errors"] = judge.errors(champion, former, step.limits.errors, step.alpha_errors)
    if "latency" in step.on:
        found["latency"] = judge.latency(champion, former, step.limits.latency_factor, step.alpha_harm)
    if "metric" in step.on and loss is not None:
        found["metric"] = judge.former_is_better(measured.paired, loss, step.alpha_harm)
    return found
