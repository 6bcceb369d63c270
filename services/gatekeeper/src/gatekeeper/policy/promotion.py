"""Decide on promotion after a verdict or a user's request, given the state of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from contracts import Cause, Mode, Outcome, Stage
from contracts.policy import ModelPolicy
from gatekeeper.policy.rollout import Step, plan, watch_of


@dataclass(frozen=True)
class RunningRollout:
    """The rollout of a model that has not ended; `model_version`: its challenger, in a watch the champion."""

    model_version: int
    is_watch: bool = False


@dataclass(frozen=True)
class State:
    """State of a model in its gatekeeper. Epoch 0 and no champion before the first promotion."""

    champion_version: int | None = None
    epoch: int = 0
    frozen: bool = False
    restored_at: datetime | None = None
    """Time of the newest promotion that was restored from the topic, not decided here."""
    rollout: RunningRollout | None = None


@dataclass(frozen=True)
class CandidateResult:
    """A candidate after its gates."""

    model_version: int
    outcome: Outcome
    compared_with: int | None
    plan: tuple[Step, ...] = ()
    """The steps of its policy after the verdict: see `steps_of`."""
    supersedes: bool = False
    """Its policy has it take the place of a rollout that is running."""
    quarantine: str | None = None
    """Why only a person can have it promoted."""


@dataclass(frozen=True)
class Promote:
    epoch: int
    previous_version: int | None
    cause: Cause
    reason: str
    left_out: str = ""
    """Steps of the policy that need a champion, where there is none; a part of a sentence."""


@dataclass(frozen=True)
class BeginRollout:
    """It proves itself in these steps first; a rollout that is running ends."""

    plan: tuple[Step, ...]
    left_out: str = ""


@dataclass(frozen=True)
class Wait:
    """It waits for the end of the rollout that is running."""

    reason: str


@dataclass(frozen=True)
class Hold:
    """The version stays challenger; a user may promote it."""

    reason: str


@dataclass(frozen=True)
class Reevaluate:
    """The verdict is based on an outdated comparison."""

    reason: str


@dataclass(frozen=True)
class Refuse:
    reason: str


@dataclass(frozen=True)
class Superseded:
    """The version was registered before a promotion that this gatekeeper restored from the topic."""

    reason: str


def is_past(registered_at: datetime, state: State) -> Superseded | None:
    """Return Superseded for a version registered before a restored promotion: its promotions were already made."""
    if state.restored_at is None or registered_at > state.restored_at:
        return None
    return Superseded(
        f"registered {registered_at:%Y-%m-%d %H:%M:%S} UTC, before the promotion of v{state.champion_version} (epoch"
        f" {state.epoch}) that was restored from the topic; a person may still promote it"
    )


def steps_of(policy: ModelPolicy) -> tuple[Step, ...]:
    """Return the steps between the verdict and the promotion, and the watch after it."""
    watch = watch_of(policy)
    return plan(policy) if watch is None else (*plan(policy), watch)


AfterGates = Promote | BeginRollout | Wait | Hold | Reevaluate | Refuse


def after_gates(candidate: CandidateResult, state: State) -> AfterGates:
    """Decide on a candidate whose gates have all returned verdicts."""
    if candidate.model_version == state.champion_version:
        return Hold("it is the champion already")
    if candidate.compared_with != state.champion_version:
        was, now = _champion(candidate.compared_with), _champion(state.champion_version)
        return Reevaluate(f"gated against {was}, but meanwhile {now} answers")
    if candidate.outcome is not Outcome.PASSED:
        return Refuse(f"the verdict is {candidate.outcome.value}")
    if candidate.quarantine is not None:
        return Hold(f"{candidate.quarantine}; until a person promotes it, or registers it again with a reason")
    if state.frozen:
        return Hold("the model is frozen: only a person's decision changes the champion")
    running = state.rollout
    takes_place = candidate.supersedes or not candidate.plan
    if running is not None and not takes_place and running.model_version != candidate.model_version:
        what = "watch" if running.is_watch else "rollout"
        return Wait(f"it waits for the end of the {what} of v{running.model_version} (supersede: wait)")
    steps = _possible(candidate.plan, state)
    if any(step.stage is not Stage.WATCH for step in steps):
        return BeginRollout(steps, _left_out(candidate.plan, steps))
    return Promote(
        state.epoch + 1,
        state.champion_version,
        Cause.GATE,
        "passed every gate of its policy",
        _left_out(candidate.plan, steps),
    )


def after_tournament(candidate: CandidateResult, winner: int, state: State, quarantine: str | None) -> AfterGates:
    """Decide on a retained version that won on the candidate's golden rows, as on a candidate.

    Staging replicas loaded it when it passed its own gates; they follow the newest version that passed.
    """
    if state.rollout is not None and state.rollout.model_version == winner:
        return Hold("its rollout is running already")
    steps = tuple(step for step in candidate.plan if step.stage is not Stage.STAGING)
    won = replace(candidate, model_version=winner, outcome=Outcome.PASSED, plan=steps, quarantine=quarantine)
    action = after_gates(won, state)
    if isinstance(action, Promote):
        return replace(action, cause=Cause.TOURNAMENT, reason="the best of the versions that are retained")
    return action


def on_request(version: int, outcome: Outcome | None, gating: bool, state: State) -> Promote | Refuse:
    """Decide on a user's request to promote `version`. `outcome` is None for a version without a verdict."""
    if state.frozen:
        return Refuse("the model is frozen; unfreeze it first (rollback stays possible)")
    if version == state.champion_version:
        return Refuse(f"v{version} is the champion already (epoch {state.epoch})")
    if gating:
        return Refuse(f"v{version} is still being gated; wait for its verdict")
    passed = outcome is Outcome.PASSED
    cause = Cause.APPROVAL if passed else Cause.OVERRIDE
    reason = "passed its gates" if passed else f"its verdict is {outcome.value if outcome else 'missing'}"
    return Promote(state.epoch + 1, state.champion_version, cause, reason)


def on_rollback(
    to: int | None, previous: int | None, past_champions: frozenset[int], state: State
) -> tuple[int, Promote] | Refuse:
    """Decide on a user's rollback to the previous champion, or to the earlier champion `to`. Allowed when frozen."""
    if state.champion_version is None:
        return Refuse("there is no champion to roll back from")
    target = previous if to is None else to
    if target is None:
        return Refuse(f"v{state.champion_version} is the first champion; there is none before it")
    if target == state.champion_version:
        return Refuse(f"v{target} is the champion already (epoch {state.epoch})")
    if target not in past_champions:
        known = ", ".join(f"v{version}" for version in sorted(past_champions - {state.champion_version})) or "none"
        return Refuse(f"v{target} was never champion (earlier champions: {known}); promote it instead")
    reason = f"back from v{state.champion_version} to v{target}"
    return target, Promote(state.epoch + 1, state.champion_version, Cause.ROLLBACK, reason)


def _champion(version: int | None) -> str:
    return "no champion" if version is None else f"champion v{version}"


def _possible(plan: tuple[Step, ...], state: State) -> tuple[Step, ...]:
    """Return the steps that need no champion, where there is none: nothing can be tried beside it."""
    return plan if state.champion_version is not None else tuple(step for step in plan if step.mode is Mode.OFF)


def _left_out(plan: tuple[Step, ...], steps: tuple[Step, ...]) -> str:
    names = ", ".join(dict.fromkeys(step.stage.value for step in plan if step not in steps))
    return f"; there is no champion beside which it could be tried ({names})" if names else ""
