"""What follows from a verdict or a person's wish: one action for each state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contracts import Cause, Outcome, Stage
from contracts.policy import ModelPolicy
from gatekeeper.policy.promotion import (
    BeginRollout,
    CandidateResult,
    Hold,
    Promote,
    Reevaluate,
    Refuse,
    RunningRollout,
    State,
    Superseded,
    Wait,
    after_gates,
    after_tournament,
    is_past,
    on_request,
    on_rollback,
    steps_of,
)

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
NOBODY = State()
V1 = State(champion_version=1, epoch=4)
FROZEN = State(champion_version=1, epoch=4, frozen=True)
BUSY = State(champion_version=1, epoch=4, rollout=RunningRollout(2))
TRIED = steps_of(ModelPolicy(model="m", strategy=("shadow", "canary"), watch=True))
WATCHED = steps_of(ModelPolicy(model="m", watch=True))
APPROVED = steps_of(ModelPolicy(model="m", approval=True))


@pytest.mark.parametrize(
    ("candidate", "state", "action"),
    [
        (CandidateResult(1, PASSED, None), NOBODY, Promote),
        (CandidateResult(2, PASSED, 1), V1, Promote),
        (CandidateResult(2, FAILED, 1), V1, Refuse),
        (CandidateResult(2, INCONCLUSIVE, 1), V1, Refuse),
        (CandidateResult(2, PASSED, None), V1, Reevaluate),  # a champion came while it was gated
        (CandidateResult(3, PASSED, 2), V1, Reevaluate),  # another one
        (CandidateResult(3, FAILED, 2), V1, Reevaluate),  # failed against a champion that is gone: look again
        (CandidateResult(2, PASSED, 1), FROZEN, Hold),
        (CandidateResult(2, FAILED, 1), FROZEN, Refuse),
        (CandidateResult(3, PASSED, 2), FROZEN, Reevaluate),
        (CandidateResult(2, PASSED, 1, plan=TRIED), V1, BeginRollout),
        (CandidateResult(2, FAILED, 1, plan=TRIED), V1, Refuse),
        (CandidateResult(2, PASSED, 1, plan=TRIED), FROZEN, Hold),
        (CandidateResult(2, PASSED, 1, plan=TRIED, quarantine="aborted"), V1, Hold),
        (CandidateResult(2, PASSED, 1, quarantine="rolled back"), V1, Hold),
        (CandidateResult(3, PASSED, 1, plan=TRIED), BUSY, Wait),
        (CandidateResult(3, PASSED, 1, plan=TRIED, supersedes=True), BUSY, BeginRollout),
        (CandidateResult(2, PASSED, 1, plan=TRIED), BUSY, BeginRollout),  # judged again: its new verdict counts
        (CandidateResult(3, PASSED, 1, plan=WATCHED), BUSY, Wait),
        (CandidateResult(3, PASSED, 1), BUSY, Promote),  # the policy is direct by now
        (CandidateResult(2, PASSED, 1, plan=WATCHED), V1, Promote),  # then watched
        (CandidateResult(2, PASSED, 1, plan=APPROVED), V1, BeginRollout),
        (CandidateResult(1, PASSED, None, plan=TRIED), NOBODY, Promote),  # a cold start: nothing to try it beside
        (CandidateResult(1, PASSED, None, plan=(*TRIED, *APPROVED)), NOBODY, BeginRollout),
        (CandidateResult(1, PASSED, None), V1, Hold),  # a person was faster
    ],
)
def test_after_the_gates(candidate, state, action):
    assert isinstance(after_gates(candidate, state), action)


@pytest.mark.parametrize(
    ("candidate", "state", "action"),
    [
        (CandidateResult(5, FAILED, 1), V1, Promote),  # whatever became of the candidate that gave rise to it
        (CandidateResult(5, PASSED, 1), V1, Promote),
        (CandidateResult(5, FAILED, 1), FROZEN, Hold),
        (CandidateResult(5, FAILED, 1, plan=APPROVED), V1, BeginRollout),
        (CandidateResult(5, FAILED, 1, plan=TRIED), V1, BeginRollout),
        (CandidateResult(5, FAILED, 1, plan=TRIED), BUSY, Wait),
        (CandidateResult(5, FAILED, 2), V1, Reevaluate),  # it was compared with a champion that is gone
    ],
)
def test_after_a_tournament_that_an_earlier_version_won(candidate, state, action):
    assert isinstance(after_tournament(candidate, 3, state, None), action)


def test_what_needs_a_champion_is_left_out_where_there_is_none_and_said():
    first = after_gates(CandidateResult(1, PASSED, None, plan=TRIED), NOBODY)
    assert isinstance(first, Promote)
    assert first.left_out == "; there is no champion beside which it could be tried (shadow, canary, watch)"
    asked = after_gates(CandidateResult(1, PASSED, None, plan=(*TRIED, *APPROVED)), NOBODY)
    assert isinstance(asked, BeginRollout) and [step.stage for step in asked.plan] == [Stage.APPROVAL]


def test_the_winner_of_a_tournament_skips_staging_which_follows_the_newest_version():
    plan = steps_of(ModelPolicy(model="m", staging="smoke", strategy="shadow"))
    action = after_tournament(CandidateResult(5, FAILED, 1, plan=plan), 3, V1, None)
    assert isinstance(action, BeginRollout) and [step.stage for step in action.plan] == [Stage.SHADOW]
    assert isinstance(after_tournament(CandidateResult(5, PASSED, 1), 3, V1, "rolled back"), Hold)


def test_a_promotion_by_tournament_says_so():
    action = after_tournament(CandidateResult(5, FAILED, 1), 3, V1, None)
    assert isinstance(action, Promote) and (action.epoch, action.cause) == (5, Cause.TOURNAMENT)


def test_a_promotion_counts_on_and_names_the_previous_champion():
    assert after_gates(CandidateResult(2, PASSED, 1), V1) == Promote(
        5, 1, Cause.GATE, "passed every gate of its policy"
    )
    first = after_gates(CandidateResult(1, PASSED, None), NOBODY)
    assert isinstance(first, Promote) and (first.epoch, first.previous_version) == (1, None)


@pytest.mark.parametrize("outcome", [FAILED, INCONCLUSIVE])
@pytest.mark.parametrize("champion", [None, 1])
@pytest.mark.parametrize("frozen", [True, False])
def test_nothing_but_passed_is_ever_promoted_by_the_gates(outcome, champion, frozen):
    state = State(champion, 3, frozen)
    assert not isinstance(after_gates(CandidateResult(2, outcome, champion), state), Promote)


RESTORED = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("registered_at", "restored_at", "past"),
    [
        (RESTORED, None, False),
        (RESTORED - timedelta(seconds=1), RESTORED, True),
        (RESTORED, RESTORED, True),
        (RESTORED + timedelta(seconds=1), RESTORED, False),
    ],
)
def test_a_version_older_than_a_restored_promotion_is_not_gated_again(registered_at, restored_at, past):
    found = is_past(registered_at, State(2, 7, restored_at=restored_at))
    assert isinstance(found, Superseded) is past


@pytest.mark.parametrize(
    ("version", "outcome", "gating", "state", "cause"),
    [
        (2, PASSED, False, V1, Cause.APPROVAL),
        (2, FAILED, False, V1, Cause.OVERRIDE),
        (2, INCONCLUSIVE, False, V1, Cause.OVERRIDE),
        (2, None, False, V1, Cause.OVERRIDE),  # superseded
        (2, PASSED, False, NOBODY, Cause.APPROVAL),
        (1, PASSED, False, V1, None),
        (2, PASSED, False, FROZEN, None),
        (2, None, True, V1, None),
    ],
)
def test_a_person_promotes(version, outcome, gating, state, cause):
    decided = on_request(version, outcome, gating, state)
    if cause is None:
        assert isinstance(decided, Refuse) and decided.reason
    else:
        assert isinstance(decided, Promote)
        assert (decided.cause, decided.epoch, decided.previous_version) == (
            cause,
            state.epoch + 1,
            state.champion_version,
        )


V2_AFTER_V1 = State(champion_version=2, epoch=2)


@pytest.mark.parametrize(
    ("to", "previous", "past", "state", "target"),
    [
        (None, 1, {1, 2}, V2_AFTER_V1, 1),
        (None, 1, {1, 2}, State(2, 2, frozen=True), 1),  # allowed when frozen
        (1, 3, {1, 2, 3}, V2_AFTER_V1, 1),
        (None, None, {2}, V2_AFTER_V1, None),
        (2, 1, {1, 2}, V2_AFTER_V1, None),
        (9, 1, {1, 2}, V2_AFTER_V1, None),
        (None, None, set(), NOBODY, None),
    ],
)
def test_a_person_rolls_back(to, previous, past, state, target):
    decided = on_rollback(to, previous, frozenset(past), state)
    if target is None:
        assert isinstance(decided, Refuse) and decided.reason
    else:
        assert not isinstance(decided, Refuse)
        version, promote = decided
        assert (version, promote.epoch, promote.cause) == (target, 3, Cause.ROLLBACK)
