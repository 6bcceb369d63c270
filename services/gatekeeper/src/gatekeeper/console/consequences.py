"""What a person's decision will do, in words, before it is made. Pure: from the state of the model as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chassis.auth.roles import Action
from contracts import Cause, Stage
from gatekeeper.policy.promotion import Promote, Refuse, State


class Decision(StrEnum):
    """What a person can decide on a page."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    APPROVE = "approve"
    REFUSE = "refuse"
    ABORT = "abort"


ACTIONS = {
    Decision.PROMOTE: Action.APPROVE,
    Decision.ROLLBACK: Action.OPERATE,
    Decision.FREEZE: Action.OPERATE,
    Decision.UNFREEZE: Action.OPERATE,
    Decision.APPROVE: Action.APPROVE,
    Decision.REFUSE: Action.APPROVE,
    Decision.ABORT: Action.OPERATE,
}
"""What each needs; a promotion against the verdict needs more (`Action.OVERRIDE`)."""


@dataclass(frozen=True)
class Running:
    """The rollout or watch that is running. `step` counts from 1; `people` must approve, `given` of them have."""

    model_version: int
    stage: Stage
    step: int
    steps: int
    people: int = 0
    given: int = 0

    @property
    def is_watch(self) -> bool:
        return self.stage is Stage.WATCH


@dataclass(frozen=True)
class Standing:
    """The model as it is now. `replicas`: of production; `watched`: its policy has a new champion watched."""

    model_name: str
    state: State
    running: Running | None = None
    replicas: int = 0
    watched: bool = False
    frozen_by: str | None = None
    frozen_reason: str | None = None


@dataclass(frozen=True)
class Consequences:
    """`impossible`: why it cannot be decided now; then `lines` is empty."""

    title: str
    button: str
    lines: tuple[str, ...] = ()
    impossible: str | None = None


def of_promotion(now: Standing, version: int, decided: Promote | Refuse) -> Consequences:
    """`decided`: what policy says of it (`on_request`)."""
    title, button = f"Promote v{version} of {now.model_name}", f"Promote v{version}"
    if isinstance(decided, Refuse):
        return Consequences(title, button, impossible=decided.reason)
    champion = now.state.champion_version
    own = now.running is not None and now.running.model_version == version
    lines = [f"v{version} becomes champion with epoch {decided.epoch}, {_in_place_of(champion)}."]
    if decided.cause is Cause.APPROVAL:
        lines.append("It passed its gates: this is an approval.")
    else:
        lines.append(f"It did not pass its gates ({decided.reason}): this overrides the verdict.")
    lines.append(_swap(now, version))
    if now.running is not None and own:
        lines.append(f"Its own rollout ends at {_where(now.running)}: what it has not shown yet, it need not show.")
    elif now.running is not None:
        lines.append(_ends(now.running))
    if now.watched and champion is not None and decided.cause is Cause.APPROVAL:
        lines.append(_watches(champion, version))
    return Consequences(title, button, tuple(lines))


def of_rollback(now: Standing, decided: tuple[int, Promote] | Refuse) -> Consequences:
    """`decided`: what policy says of it (`on_rollback`)."""
    if isinstance(decided, Refuse):
        return Consequences(f"Roll back {now.model_name}", "Roll back", impossible=decided.reason)
    version, promote = decided
    champion = now.state.champion_version
    lines = [
        f"v{version} becomes champion again, with epoch {promote.epoch}, {_in_place_of(champion)}.",
        f"v{champion} is quarantined: only a person can have it promoted again.",
        _swap(now, version),
    ]
    if now.running is not None:
        lines.append(_ends(now.running))
    return Consequences(f"Roll {now.model_name} back to v{version}", f"Roll back to v{version}", tuple(lines))


def of_freeze(now: Standing) -> Consequences:
    title, button = f"Freeze {now.model_name}", "Freeze"
    if now.state.frozen:
        return Consequences(title, button, impossible=f"frozen already by {now.frozen_by}: {now.frozen_reason}")
    champion = now.state.champion_version
    stays = "The model has no champion, and gets none." if champion is None else f"v{champion} stays champion."
    lines = [
        f"{stays} Until somebody unfreezes the model, only a rollback changes that.",
        "Versions that are registered are judged as before, and wait.",
    ]
    if now.running is not None and now.running.is_watch:
        lines.append(f"The watch of v{now.running.model_version} goes on: after harm it rolls back.")
    elif now.running is not None:
        lines.append(
            f"The rollout of v{now.running.model_version} stays at {_where(now.running)}; it can still end there."
        )
    return Consequences(title, button, tuple(lines))


def of_unfreeze(now: Standing) -> Consequences:
    title, button = f"Unfreeze {now.model_name}", "Unfreeze"
    if not now.state.frozen:
        return Consequences(title, button, impossible="it is not frozen")
    lines = [
        f"It was frozen by {now.frozen_by}: {now.frozen_reason}",
        "Versions that pass their gates are promoted again as the policy says.",
        "A version that passed while the model was frozen is not promoted by this: a person may promote it.",
    ]
    if now.running is not None:
        lines.append(f"The rollout of v{now.running.model_version} goes on from {_where(now.running)}.")
    return Consequences(title, button, tuple(lines))


def of_approval(now: Standing) -> Consequences:
    running = now.running
    if (why := _not_waiting(running)) is not None or running is None:
        return Consequences(f"Approve a version of {now.model_name}", "Approve", impossible=why)
    version, missing = running.model_version, running.people - running.given - 1
    title, button = f"Approve v{version} of {now.model_name}", f"Approve v{version}"
    if now.state.frozen:
        return Consequences(title, button, impossible="the model is frozen: nothing goes forward; unfreeze it first")
    if missing > 0:
        more = "1 more person" if missing == 1 else f"{missing} more people"
        lines = [f"It counts as one of {running.people} approvals; {more} must approve before v{version} is promoted."]
        return Consequences(title, button, tuple(lines))
    champion = now.state.champion_version
    lines = [
        f"It is the last approval that is needed: v{version} becomes champion with epoch {now.state.epoch + 1},"
        f" {_in_place_of(champion)}.",
        _swap(now, version),
    ]
    if now.watched and champion is not None:
        lines.append(_watches(champion, version))
    return Consequences(title, button, tuple(lines))


def of_refusal(now: Standing) -> Consequences:
    running = now.running
    if (why := _not_waiting(running)) is not None or running is None:
        return Consequences(f"Refuse a version of {now.model_name}", "Refuse", impossible=why)
    version = running.model_version
    return Consequences(f"Refuse v{version} of {now.model_name}", f"Refuse v{version}", _stops(now, running))


def of_abort(now: Standing) -> Consequences:
    running = now.running
    if running is None:
        title = f"Abort the rollout of {now.model_name}"
        return Consequences(title, "Abort", impossible="no rollout of this model is running")
    title = f"Abort the rollout of v{running.model_version} of {now.model_name}"
    if running.is_watch:
        why = f"v{running.model_version} is champion and is watched: a rollback ends the watch"
        return Consequences(title, "Abort", impossible=why)
    return Consequences(title, f"Abort the rollout of v{running.model_version}", _stops(now, running))


def _stops(now: Standing, running: Running) -> tuple[str, ...]:
    champion = now.state.champion_version
    stays = "The model goes on without a champion." if champion is None else f"v{champion} stays champion."
    lines = [
        f"The rollout of v{running.model_version} ends at {_where(running)}. {stays}",
        f"v{running.model_version} is quarantined: only a person can have it promoted.",
    ]
    if running.stage in (Stage.SHADOW, Stage.CANARY, Stage.AB):
        lines.append(f"Serving tries it no longer: v{champion} alone predicts.")
    return tuple(lines)


def _not_waiting(running: Running | None) -> str | None:
    if running is None:
        return "no rollout of this model is running"
    if running.stage is not Stage.APPROVAL:
        return f"the rollout of v{running.model_version} is at {_where(running)}: it does not wait for people"
    return None


def _where(running: Running) -> str:
    return f"step {running.step} of {running.steps} ({running.stage.value})"


def _ends(running: Running) -> str:
    what = "watch" if running.is_watch else "rollout"
    at = "" if running.is_watch else f" at {_where(running)}"
    return f"The {what} of v{running.model_version} that is running ends{at}, as superseded."


def _in_place_of(champion: int | None) -> str:
    return "as the first champion" if champion is None else f"in place of v{champion}"


def _watches(champion: int, version: int) -> str:
    return f"v{champion} then watches v{version}, as the policy says, and takes its place again after harm."


def _swap(now: Standing, version: int) -> str:
    champion = now.state.champion_version
    if not now.replicas:
        return "No replica of production has reported this model yet; those that start will load it."
    who = "The production replica loads" if now.replicas == 1 else f"The {now.replicas} production replicas load"
    until = "" if champion is None else f"; until then v{champion} goes on predicting"
    return f"{who} v{version} and then swap to it, without a pause{until}."
