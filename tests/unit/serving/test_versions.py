"""Snapshots of one model's state, and the one action that follows from each."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from serving.policy.versions import (
    Action,
    Artifact,
    Attempt,
    Compile,
    DesiredVersion,
    Fetch,
    Load,
    MoveIn,
    Nothing,
    Release,
    Resident,
    RetryAt,
    Snapshot,
    Swap,
    WarmUp,
    next_action,
    retry_delay,
    supersedes,
)

NOW = 100.0


def artifact(version: int, digest: str = "sha256:a") -> Artifact:
    return Artifact("flights", version, digest)


def desired(version: int, epoch: int, digest: str = "sha256:a") -> DesiredVersion:
    return DesiredVersion(artifact(version, digest), uri=f"runs:/{version}/model", order=epoch, epoch=epoch)


def warm(version: int, *, answered: bool = True, compiled: bool = True) -> Resident:
    return Resident(artifact(version), warm=True, answered=answered, compiled=compiled)


def cold(version: int) -> Resident:
    return Resident(artifact(version), warm=False)


def tried(version: int, *, compiled: bool = False, down: bool = False) -> Resident:
    """Loaded for a rollout: in a process of its own."""
    return Resident(artifact(version), warm=True, compiled=compiled, isolated=True, down=down)


def failed(what: DesiredVersion, *, permanent: bool = False, retry_at: float = NOW + 5) -> Attempt:
    return Attempt(what, failures=1, permanent=permanent, retry_at=retry_at)


V1, V2, V3 = desired(1, 1), desired(2, 2), desired(3, 3)
BACK_TO_V1 = desired(1, 3)

CASES: dict[str, tuple[dict[str, Any], Action]] = {
    "nothing is promoted": ({}, Nothing()),
    "the first version is not on disk": ({"desired": V1}, Fetch(V1)),
    "the first version is on disk": ({"desired": V1, "cached": True}, Load(V1)),
    "it is in memory, not tried yet": ({"desired": V1, "cached": True, "resident": (cold(1),)}, WarmUp(V1)),
    "in memory, its cache entry gone": ({"desired": V1, "cached": False, "resident": (cold(1),)}, WarmUp(V1)),
    "it is warm": ({"desired": V1, "cached": True, "resident": (warm(1, answered=False),)}, Swap(V1)),
    "it answers": ({"desired": V1, "active": V1, "resident": (warm(1),)}, Nothing()),
    "a newer one while the old one answers": ({"desired": V2, "active": V1, "resident": (warm(1),)}, Fetch(V2)),
    "it answers, natively": (
        {"desired": V1, "active": V1, "resident": (warm(1, compiled=False),)},
        Compile(V1),
    ),
    "a newer one does not wait for the compiler": (
        {"desired": V2, "active": V1, "resident": (warm(1, compiled=False),)},
        Fetch(V2),
    ),
    "what goes waits for the compiler": (
        {"desired": V3, "active": V3, "resident": (warm(1), warm(2), warm(3, compiled=False))},
        Compile(V3),
    ),
    "the old one stays for a rollback": ({"desired": V2, "active": V2, "resident": (warm(1), warm(2))}, Nothing()),
    "the old-old one goes": (
        {"desired": V3, "active": V3, "resident": (warm(1), warm(2), warm(3))},
        Release((artifact(1),)),
    ),
    "one that never answered goes before one that did": (
        {"desired": V3, "active": V3, "resident": (warm(1), warm(2, answered=False), warm(3))},
        Release((artifact(2),)),
    ),
    "a rollback to a resident version needs no disk": (
        {"desired": BACK_TO_V1, "active": V2, "resident": (warm(1), warm(2)), "cached": False},
        Swap(BACK_TO_V1),
    ),
    "the same version promoted again gets its new epoch": (
        {"desired": BACK_TO_V1, "active": V1, "resident": (warm(1),)},
        Swap(BACK_TO_V1),
    ),
    "the same version with another digest is another artifact": (
        {"desired": desired(1, 2, "sha256:b"), "active": V1, "resident": (warm(1),)},
        Fetch(desired(1, 2, "sha256:b")),
    ),
    "a failed one waits": (
        {"desired": V2, "active": V1, "resident": (warm(1),), "attempt": failed(V2)},
        RetryAt(V2, NOW + 5),
    ),
    "its time has come": (
        {"desired": V2, "active": V1, "resident": (warm(1),), "attempt": failed(V2, retry_at=NOW)},
        Fetch(V2),
    ),
    "its time has come and it is on disk by now": (
        {"desired": V2, "cached": True, "attempt": failed(V2, retry_at=NOW - 1)},
        Load(V2),
    ),
    "one that can not be loaded is left alone": (
        {"desired": V2, "active": V1, "resident": (warm(1),), "attempt": failed(V2, permanent=True)},
        Nothing(),
    ),
    "one that failed its warm-up for good is released": (
        {
            "desired": V2,
            "active": V1,
            "resident": (warm(1), cold(2)),
            "attempt": failed(V2, permanent=True),
        },
        Release((artifact(2),)),
    ),
    "the failures of an older one do not hold a newer one up": (
        {"desired": V3, "active": V1, "resident": (warm(1),), "attempt": failed(V2)},
        Fetch(V3),
    ),
    "the permanent failure of an epoch does not bind the next epoch of the same version": (
        {"desired": desired(2, 5), "active": V1, "resident": (warm(1),), "attempt": failed(V2, permanent=True)},
        Fetch(desired(2, 5)),
    ),
    "a rollback while the newer one fails": (
        {"desired": BACK_TO_V1, "active": V1, "resident": (warm(1),), "attempt": failed(V2)},
        Swap(BACK_TO_V1),
    ),
    "one that was evicted waits for somebody to ask": ({"desired": V1, "cached": True, "evicted": V1}, Nothing()),
    "it is loaded for who asks": ({"desired": V1, "cached": True}, Load(V1)),
    "a newer one of a model that was evicted is loaded at once": (
        {"desired": V2, "cached": True, "evicted": V1},
        Load(V2),
    ),
    "if that fails, the one that was evicted comes back": (
        {"desired": V2, "evicted": V1, "attempt": failed(V2)},
        Load(V1),
    ),
    "it is warmed up": ({"desired": V2, "evicted": V1, "resident": (cold(1),), "attempt": failed(V2)}, WarmUp(V1)),
    "it stands in for good": (
        {"desired": V2, "evicted": V1, "resident": (warm(1),), "attempt": failed(V2, permanent=True)},
        Swap(V1),
    ),
    "what is tried is no concern of a promotion": (
        {"desired": V2, "active": V1, "resident": (warm(1), warm(3, answered=False)), "tried": artifact(3)},
        Fetch(V2),
    ),
    "what is tried is resident when it is promoted": (
        {"desired": V2, "active": V1, "resident": (warm(1), tried(2)), "cached": False, "tried": artifact(2)},
        Swap(V2),
    ),
    "its process is down, then it is loaded into this one": (
        {"desired": V2, "active": V1, "resident": (warm(1), tried(2, down=True)), "cached": True},
        Load(V2),
    ),
    "once promoted, it moves into this process": (
        {"desired": V2, "active": V2, "resident": (warm(1), tried(2)), "cached": True},
        MoveIn(V2),
    ),
    "so does one with a compiled form, whose other rows its own code answers": (
        {"desired": V2, "active": V2, "resident": (warm(1), tried(2, compiled=True)), "cached": True},
        MoveIn(V2),
    ),
    "one that is tried does not move": (
        {"desired": V1, "active": V1, "resident": (warm(1), tried(2)), "tried": artifact(2)},
        Nothing(),
    ),
    "one that cannot move now stays where it is, and holds nothing up": (
        {"desired": V2, "active": V2, "resident": (warm(1), tried(2)), "attempt": failed(V2)},
        Nothing(),
    ),
    "its time has come to move": (
        {"desired": V2, "active": V2, "resident": (warm(1), tried(2)), "attempt": failed(V2, retry_at=NOW)},
        MoveIn(V2),
    ),
    "one that can never move stays where it is": (
        {"desired": V2, "active": V2, "resident": (tried(2),), "attempt": failed(V2, permanent=True, retry_at=NOW)},
        Nothing(),
    ),
    "what is tried stays, with the one before": (
        {"desired": V2, "active": V2, "resident": (warm(1), warm(2), tried(3)), "tried": artifact(3)},
        Nothing(),
    ),
    "in a watch it is the one before": (
        {"desired": V3, "active": V3, "resident": (warm(1), warm(2), warm(3)), "tried": artifact(2)},
        Release((artifact(1),)),
    ),
    "what is no longer tried goes": (
        {"desired": V2, "active": V2, "resident": (warm(1), warm(2), tried(3))},
        Release((artifact(3),)),
    ),
    "unless a promotion is due, perhaps of it": (
        {"desired": V2, "active": V2, "resident": (warm(1), warm(2), tried(3)), "promotion_due": True},
        Nothing(),
    ),
    "a first version that can not be loaded": (
        {"desired": V1, "attempt": failed(V1, permanent=True)},
        Nothing(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_next_action(name: str) -> None:
    state, expected = CASES[name]
    assert next_action(Snapshot(**state), NOW) == expected


def test_asking_and_doing_in_turn_ends_with_the_desired_version_answering() -> None:
    state = Snapshot(desired=V3, active=V2, resident=(warm(1), warm(2)))
    done = []
    for _ in range(10):
        action = next_action(state, NOW)
        done.append(type(action))
        state = _after(state, action)
        if isinstance(action, Nothing):
            break
    assert done == [Fetch, Load, WarmUp, Swap, Compile, Release, Nothing]
    assert state.active == V3
    assert [resident.artifact for resident in state.resident] == [artifact(2), artifact(3)]


def _after(state: Snapshot, action: Action) -> Snapshot:
    desired = state.desired
    assert desired is not None
    others = tuple(item for item in state.resident if item.artifact != desired.artifact)
    match action:
        case Fetch():
            return Snapshot(desired, state.active, state.resident, cached=True)
        case Load():
            return Snapshot(desired, state.active, (*others, Resident(desired.artifact, warm=False)), cached=True)
        case WarmUp():
            return Snapshot(desired, state.active, (*others, Resident(desired.artifact, warm=True)), cached=True)
        case Swap():
            return Snapshot(desired, desired, (*others, Resident(desired.artifact, True, True)), cached=True)
        case Compile():
            return Snapshot(desired, desired, (*others, warm(desired.artifact.model_version)), cached=True)
        case Release(artifacts):
            left = tuple(item for item in state.resident if item.artifact not in artifacts)
            return Snapshot(desired, state.active, left, cached=True)
    return state


def test_a_higher_order_supersedes_and_of_two_with_the_same_the_later() -> None:
    assert supersedes(V1, None)
    assert supersedes(V2, V1)
    assert not supersedes(V2, V2)
    assert not supersedes(V1, V2)
    assert supersedes(desired(9, 2), V2), "it is the one that compaction keeps for the next start"
    assert supersedes(dataclasses.replace(V2, uri="elsewhere"), V2)
    assert not supersedes(dataclasses.replace(V2), V2), "the same event again"


def test_the_delay_doubles_up_to_a_limit() -> None:
    assert [retry_delay(n, first=0.5, limit=30) for n in (1, 2, 3, 4, 10, 10_000)] == [0.5, 1, 2, 4, 30, 30]
