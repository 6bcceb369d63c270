"""Waiting for what becomes of a version: its verdict, or whether it is champion in the end.

`look` is pure: from what the gatekeeper shows, whether it has ended, or what it waits for. `wait` repeats it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from gauntlet_client import calls
from gauntlet_client.errors import ClientError, NotFound, ServiceError, Unreachable, WaitTimeout
from gauntlet_client.exchange import ask
from gauntlet_client.results import Model, Rollout, Verdict, Waited
from gauntlet_client.steps import Pause, Steps

Goal = Literal["verdict", "promotion"]

UNJUDGED = ("registered", "gating", "waiting")
PROMOTED = "promoted"
POLL_SECONDS, SLOW_POLL_SECONDS = 0.3, 2.0
SOON_SECONDS = 30.0
"""For so long it is looked every POLL_SECONDS, then less often: a rollout takes days."""
SILENCE_SECONDS = 15.0
"""Longest silence of a service: a restart is no reason to give up."""


@dataclass(frozen=True)
class Seen:
    """What the gatekeeper shows of a version. `rollouts`: of its model, newest first."""

    verdict: Verdict
    rollouts: Sequence[Rollout] = ()
    model: Model | None = None


def look(seen: Seen, goal: Goal, event_id: str | None = None) -> Waited | str:
    """Return what came of a version, or what it waits for.

    `event_id`: of a ModelRegistered; a verdict that was reached before it does not count, unless it stands.
    """
    verdict = seen.verdict
    who = f"{verdict.model_name} v{verdict.model_version}"
    kept = None
    if event_id is not None:
        own = next((each for each in verdict.registrations if each.event_id == event_id), None)
        if own is None:
            return f"the gatekeeper has not taken up event {event_id} yet"
        kept = own.kept
        if own.judgement is None and kept is None:
            return f"{who} is to be judged again"
    if verdict.state in UNJUDGED:
        return f"{who} is {verdict.reason or verdict.state}"
    if event_id is None and _is_judged_again(verdict):
        return f"{who} is to be judged again; its last verdict was {verdict.state}"
    if goal == "verdict":
        return Waited(outcome=verdict.state, reason=verdict.reason, verdict=verdict, kept=kept)
    found = _promotion(seen, who)
    return found if isinstance(found, str) else found.model_copy(update={"kept": kept})


def wait(
    name: str,
    version: int,
    goal: Goal,
    timeout: float,
    event_id: str | None,
    progress: Callable[[str], None] | None,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[Waited]:
    """Look until it has ended. Raises WaitTimeout, or Unreachable when the gatekeeper is silent for too long.

    Raises ClientError for a goal that there is not: nothing would ever be waited for as it was meant.
    """
    if goal not in get_args(Goal):
        raise ClientError(f"goal is {goal!r}", f"One can wait for {' or '.join(get_args(Goal))}.")
    began = heard = clock()
    waits_for = f"the gatekeeper does not know {name} v{version} yet"
    said = None
    while True:
        silent: ClientError | None = None
        try:
            found = look((yield from _seen(name, version, goal)), goal, event_id)
            heard = clock()
            if isinstance(found, Waited):
                return found
            waits_for = found
        except NotFound:
            heard = clock()
        except (Unreachable, ServiceError) as error:
            if isinstance(error, ServiceError) and error.status < 500:
                raise
            silent = error
            if clock() - heard > SILENCE_SECONDS:
                raise
        if progress is not None and waits_for != said:
            progress(waits_for)
            said = waits_for
        passed = clock() - began
        if passed > timeout:
            if silent is not None:
                raise silent
            raise WaitTimeout(
                f"no end within {timeout:g} s: {waits_for}",
                "It goes on without you; wait again, or longer (timeout).",
                waits_for,
            )
        yield Pause(min(POLL_SECONDS if passed < SOON_SECONDS else SLOW_POLL_SECONDS, max(timeout - passed, 0.01)))


def _seen(name: str, version: int, goal: Goal) -> Steps[Seen]:
    verdict = yield from ask(calls.verdict(name, version))
    if goal == "verdict" or verdict.state in UNJUDGED:
        return Seen(verdict)
    model = yield from ask(calls.model(name))
    rollouts = yield from ask(calls.rollouts(name, None, 20))
    verdict = yield from ask(calls.verdict(name, version))  # after them: what they led to is in it
    return Seen(verdict, rollouts, model)


def _is_judged_again(verdict: Verdict) -> bool:
    newest = max(verdict.registrations, key=lambda each: each.at, default=None)
    return verdict.state != "superseded" and newest is not None and newest.judgement is None and newest.kept is None


def _promotion(seen: Seen, who: str) -> Waited | str:
    verdict, model = seen.verdict, seen.model
    own = _own_rollout(seen)
    champion = model.champion if model else None
    ended = Waited(outcome=PROMOTED, reason=None, verdict=verdict, rollout=own)
    if champion is not None and champion.model_version == verdict.model_version:
        return ended.model_copy(update={"reason": champion.reason})
    if own is not None and own.result is None:
        return _standing(own, who)
    if verdict.quarantine is not None:
        outcome = own.result if own is not None and own.result not in (None, PROMOTED) else "quarantined"
        return ended.model_copy(update={"outcome": outcome, "reason": verdict.quarantine})
    if verdict.epochs:  # it was champion, and a later version has replaced it
        return ended.model_copy(update={"reason": f"promoted as epoch {max(verdict.epochs)}"})
    if own is not None and own.result != PROMOTED:
        return ended.model_copy(update={"outcome": own.result, "reason": own.reason})
    if verdict.state != "passed":
        return ended.model_copy(update={"outcome": verdict.state, "reason": verdict.reason})
    other = next((each for each in seen.rollouts if each.result is None), None)
    if other is not None:
        return f"{who} passed, and waits for the end of the rollout of v{other.challenger_version}"
    if model is not None and model.frozen:
        return (
            f"{who} passed, but {verdict.model_name} is frozen by {model.frozen_by} ({model.frozen_reason}):"
            f" gauntlet unfreeze or promote"
        )
    return f"{who} passed, and is not champion yet"


def _own_rollout(seen: Seen) -> Rollout | None:
    """Return the newest rollout of the version that follows its last verdict."""
    for each in seen.rollouts:
        if each.challenger_version == seen.verdict.model_version:
            judged = seen.verdict.judged_at
            return None if judged is not None and each.ended_at is not None and each.ended_at < judged else each
    return None


def _standing(rollout: Rollout, who: str) -> str:
    if rollout.stage == "approval":
        people = "1 person" if rollout.people_needed == 1 else f"{rollout.people_needed} people"
        until = f" until {rollout.expires_at.isoformat(timespec='minutes')}" if rollout.expires_at else ""
        return f"{who} waits for the approval of {people}{until}: gauntlet approve {rollout.model_name}"
    return f"{who} is in {rollout.stage}, step {rollout.step + 1} of {len(rollout.steps)}: {rollout.waits_for}"
