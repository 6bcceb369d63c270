"""Warnings of known problems of rollouts, before one begins."""

from __future__ import annotations

from collections.abc import Iterator

from chassis.explain.quantities import duration, percent, rounded
from chassis.explain.rollout import named
from contracts.durations import about
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, Canary, Shadow
from contracts.rollout_units import MOST
from gauntlet.rollout_forecast import seconds_of_step
from gauntlet.rollout_power import needs

Sentence = tuple[str, str]


def rollout_warnings(policy: ModelPolicy, rate: float | None = None) -> list[Sentence]:
    """Return (subject, sentence) for everything of a rollout that decides nothing, or decides by chance.

    `rate`: entities a second, where it is known.
    """
    return [
        *_assignment(policy),
        *_labels(policy),
        *_nothing_compared(policy),
        *_latency_of_a_shadow(policy),
        *_maximum(policy),
        *(_pace(policy, rate) if rate is not None else ()),
        *_people(policy),
        *_watch(policy),
    ]


def _assignment(policy: ModelPolicy) -> Iterator[Sentence]:
    if policy.entity is None and (kinds := [name for name, trial in named(policy) if isinstance(trial, Canary | AB)]):
        said = (
            "Missing: requests are assigned by their ids, so one customer meets both versions in turn, and rows of one "
            "customer count as independent. Name the column that says whose row it is."
        )
        yield "entity", f"{said} It concerns {' and '.join(f'strategy.{name}' for name in kinds)}."


def _labels(policy: ModelPolicy) -> Iterator[Sentence]:
    judged = [(name, trial) for name, trial in named(policy) if "metric" in trial.on]
    maturity = policy.label_maturity
    if judged and "label_maturity" not in policy.model_fields_set:
        said = (
            "Missing: each label counts as soon as it comes. Where one outcome is known sooner than another (a fraud, "
            "a cancellation), the first labels are not like the rest. Say how long labels take, or 0s."
        )
        yield "label_maturity", said
    for name, trial in judged:
        if isinstance(trial, Canary) and len(trial.steps) > 1 and trial.bake < maturity:
            said = (
                f"{duration(trial.bake)}, and labels take {duration(maturity)}: all steps but the last can be over "
                "before a label counts, so that they see only errors and slowness."
            )
            yield f"strategy.{name}.bake", said


def _nothing_compared(policy: ModelPolicy) -> Iterator[Sentence]:
    trials = list(named(policy))
    judged = {on for _, trial in trials for on in trial.on}
    if trials and "metric" not in judged:
        if "agreement" in judged:
            said = (
                "Agreement with the champion, without labels: nobody knows the true values. A version that is better "
                "where the champion is wrong is kept out, and one that repeats the champion's mistakes passes."
            )
            yield "strategy.shadow.on", said
        else:
            said = (
                "No step compares predictions: a version that neither fails nor is slow passes, whatever it predicts. "
                "Add metric, or agreement in a shadow where there are no labels."
            )
            yield "strategy", said


def _latency_of_a_shadow(policy: ModelPolicy) -> Iterator[Sentence]:
    if any(isinstance(trial, Shadow) and "latency" in trial.on for _, trial in named(policy)):
        said = (
            "latency: a shadow predicts off the request's path, with what the machine has left. On a busy one, a "
            "version as fast as the champion is found to be slower. A canary measures both alike."
        )
        yield "strategy.shadow.on", said


def _maximum(policy: ModelPolicy) -> Iterator[Sentence]:
    for need in needs(policy):
        if not need.gain or need.maximum is None:
            continue
        key = f"strategy.{need.step}.{'rows' if need.step == 'shadow' else 'maximum'}"
        unit = policy.entity or "row"
        if need.usual[0] >= MOST or need.usual[0] > need.maximum:
            said = (
                f'At most {need.maximum:,} {unit}s are too few: to show "{need.shown}" takes '
                f"{rounded(need.usual[0])} to {rounded(need.usual[1])}, half of the time. The champion nearly always "
                "stays."
            )
            yield key, said


def _pace(policy: ModelPolicy, rate: float) -> Iterator[Sentence]:
    for name, trial in named(policy):
        if not isinstance(trial, Canary):
            continue
        slow = [share for share in trial.steps if seconds_of_step(trial, share, rate) > trial.bake.total_seconds()]
        if slow:
            seconds = seconds_of_step(trial, slow[0], rate)
            said = (
                f"At {rate:.3g} a second {percent(slow[0])} of them has {trial.minimum:,} predictions after "
                f"{about(seconds)}, not after {duration(trial.bake)} (bake): the step lasts that long."
            )
            yield f"strategy.{name}.minimum", said


def _people(policy: ModelPolicy) -> Iterator[Sentence]:
    if policy.approval is not None and policy.approval.people > 1:
        said = (
            f"{policy.approval.people}: the names of {policy.approval.people} people are asked for, and names are not "
            "verified. One person who may reach the gatekeeper can give them all; put a login before it."
        )
        yield "approval.people", said


def _watch(policy: ModelPolicy) -> Iterator[Sentence]:
    watch = policy.watch
    if watch is None or "metric" not in watch.on or policy.label_maturity < watch.for_:
        return
    others = [on for on in watch.on if on != "metric"]
    rest = f"Only {' and '.join(others)} are watched." if others else "Nothing is watched."
    said = (
        f"{duration(watch.for_)}, and labels take {duration(policy.label_maturity)}: no label counts before the watch "
        f"is over. {rest}"
    )
    yield "watch.for", said
