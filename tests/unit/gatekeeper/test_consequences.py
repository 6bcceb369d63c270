"""What a decision will do, in words: a table of states of a model."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import Outcome, Stage
from gatekeeper.console.consequences import (
    Running,
    Standing,
    of_abort,
    of_approval,
    of_freeze,
    of_promotion,
    of_refusal,
    of_rollback,
    of_unfreeze,
)
from gatekeeper.policy.promotion import RunningRollout, State, on_request, on_rollback

CANARY = Running(7, Stage.CANARY, 2, 4)
OWN = Running(8, Stage.SHADOW, 1, 4)
WATCH = Running(3, Stage.WATCH, 4, 4)


def asked(people: int, given: int) -> Running:
    return Running(7, Stage.APPROVAL, 3, 4, people, given)


def standing(
    running: Running | None = None, *, champion: int | None = 3, frozen: bool = False, **more: Any
) -> Standing:
    rollout = None if running is None else RunningRollout(running.model_version, running.is_watch)
    epoch = 0 if champion is None else 5
    by = {"frozen_by": "eve", "frozen_reason": "audit"} if frozen else {}
    return Standing("shop", State(champion, epoch, frozen, rollout=rollout), running, **by, **more)


def promotion(now: Standing, outcome: Outcome | None = Outcome.PASSED) -> str:
    found = of_promotion(now, 8, on_request(8, outcome, False, now.state))
    assert found.impossible is None
    return " ".join(found.lines)


@pytest.mark.parametrize(
    ("now", "outcome", "said"),
    [
        (standing(), Outcome.PASSED, ["v8 becomes champion with epoch 6, in place of v3.", "this is an approval"]),
        (standing(), Outcome.FAILED, ["did not pass its gates (its verdict is Failed): this overrides the verdict"]),
        (standing(), None, ["its verdict is missing"]),
        (standing(champion=None), Outcome.PASSED, ["with epoch 1, as the first champion."]),
        (standing(), Outcome.PASSED, ["No replica of production has reported this model yet"]),
        (standing(replicas=1), Outcome.PASSED, ["The production replica loads v8", "until then v3 goes on predicting"]),
        (standing(replicas=3), Outcome.PASSED, ["The 3 production replicas load v8"]),
        (standing(CANARY), Outcome.PASSED, ["The rollout of v7 that is running ends at step 2 of 4 (canary)"]),
        (standing(WATCH), Outcome.PASSED, ["The watch of v3 that is running ends, as superseded."]),
        (standing(OWN), Outcome.PASSED, ["Its own rollout ends at step 1 of 4 (shadow)"]),
        (standing(watched=True), Outcome.PASSED, ["v3 then watches v8"]),
    ],
)
def test_a_promotion(now: Standing, outcome: Outcome | None, said: list[str]) -> None:
    assert [each for each in said if each not in promotion(now, outcome)] == []


@pytest.mark.parametrize(
    ("now", "outcome"),
    [(standing(watched=True), Outcome.FAILED), (standing(champion=None, watched=True), Outcome.PASSED)],
)
def test_no_watch_follows_an_override_or_a_first_champion(now: Standing, outcome: Outcome) -> None:
    assert "watches" not in promotion(now, outcome)


def test_what_policy_refuses_is_impossible_with_its_reason() -> None:
    frozen = standing(frozen=True)
    found = of_promotion(frozen, 8, on_request(8, Outcome.PASSED, False, frozen.state))
    assert found.impossible is not None and "frozen" in found.impossible and found.lines == ()
    none = standing(champion=None)
    back = of_rollback(none, on_rollback(None, None, frozenset(), none.state))
    assert back.impossible == "there is no champion to roll back from"


@pytest.mark.parametrize(("running", "said"), [(None, None), (CANARY, "rollout of v7"), (WATCH, "watch of v3")])
def test_a_rollback(running: Running | None, said: str | None) -> None:
    now = standing(running, replicas=2)
    found = of_rollback(now, on_rollback(None, 2, frozenset({2, 3}), now.state))
    text = " ".join(found.lines)
    assert found.button == "Roll back to v2"
    assert "v2 becomes champion again, with epoch 6, in place of v3." in text
    assert "v3 is quarantined" in text and "load v2" in text
    assert ("that is running ends" in text) is (said is not None) and (said or "") in text


@pytest.mark.parametrize(
    ("running", "said"),
    [(None, "v3 stays champion"), (CANARY, "stays at step 2 of 4"), (WATCH, "The watch of v3 goes on")],
)
def test_freezing(running: Running | None, said: str) -> None:
    assert said in " ".join(of_freeze(standing(running)).lines)
    assert of_freeze(standing(running, frozen=True)).impossible == "frozen already by eve: audit"


def test_unfreezing() -> None:
    assert of_unfreeze(standing()).impossible == "it is not frozen"
    lines = " ".join(of_unfreeze(standing(CANARY, frozen=True)).lines)
    assert "frozen by eve: audit" in lines and "goes on from step 2 of 4" in lines


@pytest.mark.parametrize(
    ("people", "given", "said"),
    [
        (1, 0, "the last approval that is needed: v7 becomes champion with epoch 6, in place of v3"),
        (2, 1, "the last approval that is needed"),
        (2, 0, "one of 2 approvals; 1 more person must approve"),
        (3, 0, "2 more people must approve"),
    ],
)
def test_an_approval_says_whether_it_promotes(people: int, given: int, said: str) -> None:
    assert said in " ".join(of_approval(standing(asked(people, given))).lines)


def test_an_approval_needs_a_rollout_that_waits_and_a_model_that_is_not_frozen() -> None:
    assert of_approval(standing()).impossible == "no rollout of this model is running"
    assert "does not wait for people" in str(of_approval(standing(CANARY)).impossible)
    assert "does not wait for people" in str(of_refusal(standing(CANARY)).impossible)
    assert "frozen" in str(of_approval(standing(asked(1, 0), frozen=True)).impossible)


@pytest.mark.parametrize("running", [CANARY, asked(1, 0)])
def test_ending_a_rollout_keeps_the_champion_and_quarantines_the_version(running: Running) -> None:
    found = of_abort(standing(running))
    text = " ".join(found.lines)
    assert "v3 stays champion" in text and "v7 is quarantined" in text
    assert ("alone predicts" in text) is (running is CANARY)


def test_an_abort_needs_a_rollout_that_is_no_watch() -> None:
    assert "no rollout" in str(of_abort(standing()).impossible)
    assert "a rollback ends the watch" in str(of_abort(standing(WATCH)).impossible)
