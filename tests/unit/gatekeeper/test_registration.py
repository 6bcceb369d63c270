"""A version that has a verdict is registered again: judged again or not, in a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from contracts import Outcome
from gatekeeper.policy.registration import Circumstances, JudgeAgain, Keep, Standing, on_registered_again

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
THEN = Circumstances("p1", "g1", 1, {"artifact": "a1", "training": "t1"})


def standing(outcome: Outcome | None, *, rolled_back: bool = False, under: Circumstances = THEN) -> Standing:
    return Standing(2, outcome, AT, under, rolled_back)


def changed(**changes) -> Circumstances:
    return Circumstances(**{**vars(THEN), **changes})


@pytest.mark.parametrize(
    ("verdict", "now", "says"),
    [
        (standing(INCONCLUSIVE), THEN, "Inconclusive"),
        (standing(None), THEN, "superseded"),
        (standing(FAILED), changed(policy_digest="p2"), "the policy has changed"),
        (standing(PASSED), changed(policy_digest="p2"), "the policy has changed"),
        (standing(FAILED), changed(golden_digest="g2"), "the golden rows are others"),
        (standing(FAILED), changed(champion_version=3), "champion v1, and now v3 is"),
        (standing(PASSED), changed(champion_version=3), "champion v1, and now v3 is"),
        (standing(FAILED, under=changed(champion_version=None)), THEN, "there was no champion, and now v1 is"),
        (standing(FAILED), changed(data={"artifact": "a2", "training": "t1"}), "another artifact is registered"),
        (standing(FAILED), changed(data={**THEN.data, "training_keys": "k"}), "another training keys is registered"),
        (
            standing(INCONCLUSIVE),
            changed(policy_digest="p2", golden_digest="g2"),
            "Inconclusive; the policy has changed; the golden rows are others",
        ),
    ],
)
def test_another_verdict_is_possible_so_it_is_judged_again(verdict: Standing, now: Circumstances, says: str) -> None:
    action = on_registered_again(verdict, now, again=False, why=None)
    assert isinstance(action, JudgeAgain) and says in action.reason


@pytest.mark.parametrize(
    ("verdict", "now"),
    [
        (standing(PASSED), THEN),
        (standing(FAILED), THEN),
        (standing(PASSED), changed(champion_version=2)),  # it became the champion by this very verdict
        (standing(FAILED), changed(golden_digest=None)),  # not known before it is fetched
        (standing(FAILED), changed(data={})),  # an event that says less claims nothing else
        (standing(PASSED, rolled_back=True), THEN),
        (standing(PASSED, rolled_back=True), changed(policy_digest="p2")),  # only a person brings it back
        (standing(INCONCLUSIVE, rolled_back=True), THEN),
    ],
)
def test_the_verdict_stands_until_somebody_requests_another_with_a_reason(
    verdict: Standing, now: Circumstances
) -> None:
    kept = on_registered_again(verdict, now, again=False, why="an ordinary reason")
    assert isinstance(kept, Keep) and "--again" in kept.reason and "2026-01-02 03:04:05" in kept.reason
    without = on_registered_again(verdict, now, again=True, why=None)
    assert isinstance(without, Keep) and "needs a reason" in without.reason
    action = on_registered_again(verdict, now, again=True, why="the labels were corrected")
    assert action == JudgeAgain("requested again: the labels were corrected")
