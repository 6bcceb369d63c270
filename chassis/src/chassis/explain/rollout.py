"""What a policy says of rollouts, in words: the steps between the verdict and the champion, and the watch after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chassis.explain.quantities import duration, percent
from contracts.gate_settings import Performance
from contracts.losses import LossKind, loss_of
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from contracts.rollout_settings import AB, ABStage, Approval, Canary, CanaryStage, Limits, Shadow, ShadowStage, Watch

Sentence = tuple[str, str]

NAMES = {"shadow": "shadow", "canary": "canary", "ab": "A/B test"}
LOSSES = {
    LossKind.ZERO_ONE: "right or wrong",
    LossKind.BRIER: "the Brier score (score - y)²",
    LossKind.ABSOLUTE: "the absolute error",
    LossKind.SQUARED: "the squared error",
    LossKind.PERCENTAGE: "the relative error",
    LossKind.PINBALL: "the pinball loss",
}
VALUE_A_ROW = {
    LossKind.ZERO_ONE: ("accuracy",),
    LossKind.BRIER: ("brier",),
    LossKind.ABSOLUTE: ("mae",),
    LossKind.SQUARED: ("rmse",),
    LossKind.PERCENTAGE: ("mape",),
}
"""Metrics that are the mean of the loss, or its root."""


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


def rollout_in_words(policy: ModelPolicy) -> list[Sentence]:
    """Return (subject, sentence) for what lies between a passed verdict and the champion, and what follows."""
    if not policy.rolls_out:
        return [("promotion", "A candidate that passes every gate is promoted at once, without anybody's approval.")]
    return list(_all(policy))


def _all(policy: ModelPolicy) -> Iterator[Sentence]:
    yield "promotion", _overview(policy)
    if policy.staging == "smoke":
        yield "staging", "A staging replica must have loaded it and predicted golden rows."
    yield from _trials(policy)
    if _uses_labels(policy):
        yield "labels", " ".join(_labels(policy))
    if policy.approval is not None:
        yield "approval", _approval(policy.approval)
    if policy.watch is not None:
        yield "watch", " ".join(_watch(policy.watch))


def _overview(policy: ModelPolicy) -> str:
    steps = ["staging"] * (policy.staging == "smoke")
    steps += [NAMES[name] for name, _ in named(policy)]
    steps += ["approval"] * (policy.approval is not None)
    if not steps:
        return "A candidate that passes every gate is promoted at once, without anybody's approval, and then watched."
    said = f"A candidate that passes every gate becomes champion after {', then '.join(steps)}."
    if policy.strategy:
        said += " A model's first version skips the trials: there is no champion to compare it with."
    then = "waits for the end" if policy.supersede == "wait" else "takes its place"
    during = "a rollout or its watch" if policy.watch else "a rollout"
    return f"{said} A version that passes during {during} {then}."


def _trials(policy: ModelPolicy) -> Iterator[Sentence]:
    gate = policy.gates.performance
    alpha = gate.alpha if gate else Performance().alpha
    for name, trial in named(policy):
        match trial:
            case Shadow():
                words = [*_shadow(policy, trial, alpha), *_harm(trial, trial.on)]
            case Canary():
                words = [*_canary(policy, trial, alpha), *_harm(trial, trial.on)]
            case _:
                words = [*_ab(policy, trial, alpha), *_harm(trial, trial.on)]
        yield NAMES[name], " ".join(words)


def _shadow(policy: ModelPolicy, shadow: Shadow, alpha: float) -> Iterator[str]:
    least, most = shadow.rows
    unit = _units(policy)
    yield "The champion serves every request; the version predicts the same rows off the path of the request."
    if "metric" in shadow.on:
        yield (
            f"It goes on as soon as it is shown to be {_better(shadow)} (α {percent(alpha)}), from {least:,} labelled "
            f"{unit} on; it ends as soon as it is shown to be worse. At {most:,} the champion stays."
        )
    elif "agreement" in shadow.on:
        yield (
            f"It goes on as soon as it is shown to agree with the champion on more than {percent(shadow.agreement)} of "
            f"the rows (α {percent(alpha)}), from {least:,} {unit} on. At {most:,} the champion stays. The true values "
            "are not looked at."
        )
    else:
        yield f"It goes on after {least:,} {unit} without harm. What it predicts is not looked at."


def _canary(policy: ModelPolicy, canary: Canary, alpha: float) -> Iterator[str]:
    steps = ", then ".join(percent(share) for share in canary.steps)
    each = "each step lasts" if len(canary.steps) > 1 else "this lasts"
    yield (
        f"The version serves {steps} of {_whom(policy)}; {each} at least {duration(canary.bake)} and "
        f"{canary.minimum:,} of its predictions."
    )
    if "metric" in canary.on:
        yield (
            f"The last step ends as soon as it is shown to be {_better(canary)} (α {percent(alpha)}); at "
            f"{canary.maximum:,} {_units(policy)} of its own the champion stays. Every step ends the rollout as soon "
            "as the version is shown to be worse."
        )


def _ab(policy: ModelPolicy, ab: AB, alpha: float) -> Iterator[str]:
    yield (
        f"The version serves {percent(ab.share)} of {_whom(policy)}. It goes on as soon as it is shown to be "
        f"{_better(ab)} (α {percent(alpha)}), from {ab.minimum:,} labelled {_units(policy)} of each version on; it "
        f"ends as soon as it is shown to be worse. At {ab.maximum:,} of both the champion stays."
    )


def _better(limits: Limits) -> str:
    if limits.margin:
        return f"worse than the champion by less than {percent(limits.margin)} of the loss's range"
    return "better than the champion"


def _harm(limits: Limits | Watch, on: Sequence[str]) -> Iterator[str]:
    found = []
    if "errors" in on:
        found.append(f"to fail on more than {percent(limits.errors)} of its predictions, where the champion does not")
    if "latency" in on:
        found.append(
            f"to be slow, above {limits.latency_factor:g} times the champion's 95th percentile, on more than 5%"
        )
    if found:
        yield f"It ends at once when it is shown {', or '.join(found)}."


def _whom(policy: ModelPolicy) -> str:
    if policy.entity:
        return f"the values of {policy.entity}, by stable hash"
    return "the requests, by a hash of their ids"


def _units(policy: ModelPolicy) -> str:
    return f"values of {policy.entity}" if policy.entity else "rows"


def _uses_labels(policy: ModelPolicy) -> bool:
    judged = [on for _, trial in named(policy) for on in trial.on] + list(policy.watch.on if policy.watch else ())
    return "metric" in judged


def _labels(policy: ModelPolicy) -> Iterator[str]:
    if policy.label_maturity:
        yield f"The label of a prediction counts from an age of {duration(policy.label_maturity)} on."
    else:
        yield "The label of a prediction counts as soon as it comes."
    if not policy.states_problem:
        yield "What predictions are compared by depends on the problem, which is found from each version."
        return
    kind = loss_of(policy.metric, policy.problem)
    if policy.metric in VALUE_A_ROW.get(kind, ()) or METRICS[policy.metric].name.startswith("pinball"):
        yield f"Predictions are compared by {LOSSES[kind]}."
    else:
        yield f"Predictions are compared by {LOSSES[kind]}: {policy.metric} has no value for a single row."
    if kind not in (LossKind.ZERO_ONE, LossKind.BRIER):
        yield "Losses are divided by a scale that the golden rows give, and cut at 1."


def _approval(approval: Approval) -> str:
    who = "A person" if approval.people == 1 else f"{approval.people} different people"
    whom = "not the one who" if approval.people == 1 else "none of whom"
    return (
        f"{who} must agree (gauntlet approve), {whom} registered the version. What they agree to is the verdict with "
        "its evidence; if that changes, they must agree again. "
        f"After {duration(approval.expires)} the request counts as refused."
    )


def _watch(watch: Watch) -> Iterator[str]:
    yield f"For {duration(watch.for_)} after a promotion the former champion predicts in shadow."
    slow = f"above {watch.latency_factor:g} times the former champion's 95th percentile"
    kinds = {
        "errors": f"fail on more than {percent(watch.errors)} of its predictions",
        "latency": f"be slow, {slow}, on more than 5%",
        "metric": "be worse by its labels",
    }
    seen = ", or to ".join(words for name, words in kinds.items() if name in watch.on)
    then = (
        "the former champion takes over again, without anybody's approval"
        if watch.rollback
        else "that is reported, and nothing is changed"
    )
    yield f"When the new champion is shown to {seen}, {then}."
    if watch.rollback:
        yield "A replica that cannot load it is reason enough. What was rolled back is promoted again only by a person."
