"""Snapshots of one model's rollout on a replica, and the one action that follows from each."""

from __future__ import annotations

import dataclasses
from itertools import permutations
from typing import Any

import pytest

from contracts import Mode
from serving.policy.trials import (
    Begin,
    DesiredTrial,
    TrialAction,
    TrialSnapshot,
    goes_on,
    is_in_force,
    is_promotion_due,
    kept,
    next_trial_action,
    supersedes_trial,
)
from serving.policy.versions import (
    Artifact,
    Attempt,
    DesiredVersion,
    Fetch,
    Load,
    Nothing,
    Resident,
    RetryAt,
    WarmUp,
)

NOW = 100.0


def version(number: int, epoch: int | None = None) -> DesiredVersion:
    return DesiredVersion(Artifact("flights", number, "sha256:a"), f"runs:/{number}", epoch or 0, epoch)


def trial(revision: int = 1, tried: int = 2, epoch: int = 1, **more: Any) -> DesiredTrial:
    told = {"mode": Mode.SHADOW, "share": 0.0, "rollout_id": f"of {tried}", **more}
    return DesiredTrial(revision=revision, step=revision, salt="", champion_epoch=epoch, tried=version(tried), **told)


def resident(number: int, **more: Any) -> Resident:
    return Resident(version(number).artifact, **{"warm": True, "isolated": True, **more})


def failed(permanent: bool = False, retry_at: float = NOW + 5) -> Attempt:
    return Attempt(version(2), 1, permanent, retry_at)


CHAMPION, V2 = version(1, epoch=1), version(2)
SHADOW, CANARY = trial(), trial(2, mode=Mode.SPLIT, share=0.1)
OFF = trial(3, mode=Mode.OFF)

CASES: dict[str, tuple[dict[str, Any], TrialAction]] = {
    "no rollout": ({}, Nothing()),
    "no champion yet": ({"trial": SHADOW, "active": None, "cached": True}, Nothing()),
    "not on disk": ({"trial": SHADOW}, Fetch(V2)),
    "on disk": ({"trial": SHADOW, "cached": True}, Load(V2)),
    "in memory": ({"trial": SHADOW, "resident": (resident(2, warm=False),)}, WarmUp(V2)),
    "warm": ({"trial": SHADOW, "resident": (resident(2),)}, Begin(SHADOW)),
    "carried out": ({"trial": SHADOW, "running": SHADOW, "resident": (resident(2),)}, Nothing()),
    "its next step": ({"trial": CANARY, "running": SHADOW, "resident": (resident(2),)}, Begin(CANARY)),
    "its process is down": ({"trial": SHADOW, "resident": (resident(2, down=True),)}, Begin(SHADOW)),
    "off": ({"trial": OFF, "resident": (resident(2),)}, Nothing()),
    "a champion of before": ({"trial": trial(epoch=2), "cached": True}, Nothing()),
    "a champion since": ({"trial": SHADOW, "active": version(1, epoch=2), "cached": True}, Nothing()),
    "in staging no version has an epoch": ({"trial": SHADOW, "active": version(1)}, Nothing()),
    "another version than the one carried out": (
        {"trial": trial(2, tried=3), "running": SHADOW, "resident": (resident(2),)},
        Fetch(version(3)),
    ),
    "a watch tries the former champion, which is there": (
        {"trial": trial(2), "resident": (resident(2, answered=True, isolated=False), resident(1))},
        Begin(trial(2)),
    ),
    "a failed one waits": ({"trial": SHADOW, "attempt": failed()}, RetryAt(V2, NOW + 5)),
    "its time has come": ({"trial": SHADOW, "attempt": failed(retry_at=NOW), "cached": True}, Load(V2)),
    "one that can not be had": ({"trial": SHADOW, "attempt": failed(permanent=True), "cached": True}, Nothing()),
    "not even with a further step": ({"trial": CANARY, "attempt": failed(permanent=True)}, Nothing()),
}


@pytest.mark.parametrize("name", CASES)
def test_next_trial_action(name: str) -> None:
    state, expected = CASES[name]
    assert next_trial_action(TrialSnapshot(**{"active": CHAMPION, **state}), NOW) == expected


def test_the_highest_revision_is_in_force_whatever_the_order_of_arrival() -> None:
    for order in permutations([SHADOW, CANARY, OFF]):
        current: DesiredTrial | None = None
        for each in order:
            if supersedes_trial(each, current):
                current = each
        assert current == OFF
    assert not supersedes_trial(dataclasses.replace(OFF), OFF), "the same event again"
    assert supersedes_trial(dataclasses.replace(OFF, share=0.5), OFF), "it is the one that compaction keeps"


STAYS = {
    "while it is tried": (SHADOW, None, True),
    "while people approve": (OFF, None, True),
    "until a promotion that ends the rollout is read": (dataclasses.replace(OFF, may_be_promoted=True), None, True),
    "not when the rollout ended otherwise": (dataclasses.replace(OFF, may_be_promoted=False), None, False),
    "not when it failed": (SHADOW, failed(permanent=True), False),
    "while it is tried again": (SHADOW, failed(), True),
    "not of a champion of before": (trial(epoch=2), None, False),
    "not without a rollout": (None, None, False),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays_in_memory(name: str) -> None:
    wanted, attempt, stays = STAYS[name]
    assert kept(wanted, CHAMPION, attempt) == (V2.artifact if stays else None)
    assert kept(wanted, None, attempt) is None, "of a model that was evicted"


def test_a_rollout_of_a_later_epoch_means_that_a_promotion_is_due() -> None:
    assert is_promotion_due(trial(epoch=2), CHAMPION)
    assert not is_promotion_due(SHADOW, CHAMPION)
    assert not is_promotion_due(trial(epoch=2), version(2, epoch=2)), "it was read; whether it is loaded or not"
    assert not is_promotion_due(None, CHAMPION)


def test_what_is_carried_out_goes_on_until_the_next_step_of_the_same_rollout_begins() -> None:
    assert goes_on(SHADOW, CANARY, CHAMPION)
    assert not goes_on(SHADOW, OFF, CHAMPION)
    assert not goes_on(SHADOW, SHADOW, version(1, epoch=2))
    assert not goes_on(SHADOW, SHADOW, None)
    assert not goes_on(SHADOW, trial(2, tried=3), CHAMPION)
    assert not goes_on(SHADOW, trial(2, rollout_id="another"), CHAMPION)
    assert is_in_force(SHADOW, CHAMPION) and not is_in_force(OFF, CHAMPION)
