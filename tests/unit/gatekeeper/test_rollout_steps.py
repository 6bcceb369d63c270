"""What becomes of rollouts when verdicts, sums, loads, people and time meet: on a real database, verdicts given."""

from __future__ import annotations

import json
import time

import pytest

from contracts import Outcome, Trigger, new_envelope
from gatekeeper.database import queries
from gatekeeper.database.job_kinds import GATE
from gatekeeper.policy.promotion import on_request
from gatekeeper.refusals import CommandRefused
from gatekeeper.rollout.replay import replay_rollout
from support.rollout_bench import BETTER, CANARY, SHADOW, RolloutBench
from support.rollouts import sums_of


def test_a_cold_start_is_promoted_at_once_and_says_what_was_left_out(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW, watch=True)
    assert bench.events() == ["GatePassed v1", "Promoted v1 gate", "GatePassed v2", "RolloutChanged shadow"]
    with bench.database.reading() as session:
        (promotion,) = queries.promotions(session, bench.name)
    assert promotion.event["reason"].endswith("; there is no champion beside which it could be tried (shadow, watch)")


def test_a_first_version_waits_for_people_and_nothing_is_carried_out(bench: RolloutBench) -> None:
    bench.policy(strategy=SHADOW, approval=True)
    bench.verdict(1)
    assert bench.state() == ("approval", 1, None) and bench.rollout()["champion_version"] is None
    bench.approvals.approve(bench.name, actor="ada", reason="fine")
    assert bench.champion() == 1 and bench.state() == ("ended", 1, "promoted")
    assert not [each for each in bench.events() if each.startswith("RolloutChanged")]


def test_a_canary_bakes_before_each_step(bench: RolloutBench) -> None:
    bench.begun(strategy=[SHADOW, CANARY])
    bench.measured(**BETTER)
    bench.measured(n=500, share=0.1)
    bench.clock.once()
    assert bench.rollout()["step"] == 1, "it has not baked"
    bench.later(minutes=11)
    assert bench.rollout()["share"] == 0.5
    bench.later(minutes=11)
    assert bench.rollout()["step"] == 2, "nothing was measured"
    bench.measured(n=600, share=0.5)
    assert bench.champion() == 2 and bench.state() == ("ended", 2, "promoted")
    assert replay_rollout(bench.row()).agrees
    assert [each.now for each in replay_rollout(bench.row()).steps] == ["Advance"] * 3


def test_harm_aborts_and_only_a_person_brings_the_version_back(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    bench.measured(n=1000, wins=50, losses=400)
    assert bench.state() == ("ended", 2, "aborted") and bench.champion() == 1
    assert "aborted" in (bench.candidate(2).quarantine or "")
    assert not bench.tournament(2) and bench.state() == ("ended", 2, "aborted")
    assert bench.trail()[-1] == "held"
    for kind, reason, wanted in (("manual", None, "aborted"), ("again", "the feature is mended", None)):
        bench.judge_again(2, Trigger(kind=kind, reason=reason))
        bench.verdict(2)
        assert bench.rollout()["result"] == wanted
    assert bench.state() == ("shadow", 2, None) and bench.candidate(2).quarantine is None


def test_doubled_late_and_foreign_sums_change_nothing(bench: RolloutBench) -> None:
    bench.begun(strategy=[SHADOW, CANARY])
    shadow = bench.rollout()
    bench.measured(shadow, n=90)
    bench.measured(shadow, n=80, losses=80)  # late
    assert bench.rollout()["measured"]["tried"]["predictions"] == 90
    bench.measured({**shadow, "tried_version": 7}, n=5000, losses=4000)
    bench.measured({**shadow, "rollout_id": "another"}, n=5000, losses=4000)
    assert bench.state() == ("shadow", 2, None)
    bench.measured(shadow, **BETTER)
    before = bench.events()
    bench.measured(shadow, n=5000, losses=4000)  # of a step that is over
    assert bench.rollout()["stage"] == "canary" and bench.events() == before


def test_sums_since_drift_lost_its_database_end_a_rollout_only_for_harm(bench: RolloutBench) -> None:
    bench.begun(watch=True)
    bench.measured(n=50_000)
    bench.measured(n=3_000, lost=True)
    assert bench.state() == ("watch", 2, None) and bench.rollout()["measured"]["tried"]["predictions"] == 50_000
    bench.measured(n=3_000, champion_errors=300, lost=True)
    assert bench.state() == ("ended", 2, "rolled back") and replay_rollout(bench.row()).agrees


def test_the_challenger_of_a_running_rollout_wins_no_tournament_meanwhile(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW, supersede="newest")
    before = bench.events()
    assert not bench.tournament(2) and bench.events() == before


def test_a_newer_challenger_waits_and_is_judged_again_under_a_new_champion(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    bench.verdict(3)
    bench.verdict(4)
    assert bench.state() == ("shadow", 2, None) and "no longer waiting" in bench.trail()
    bench.measured(**BETTER)
    assert bench.champion() == 2
    before = bench.queued(GATE)
    bench.clock.once()
    assert bench.queued(GATE) == before + 1 and bench.candidate(4).judgement == 2
    bench.verdict(4)
    assert bench.state() == ("shadow", 4, None)


def test_a_newer_challenger_begins_when_the_champion_stays(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    bench.verdict(3)
    bench.approvals.abort(bench.name, actor="ada", reason="no")
    bench.freeze()
    bench.clock.once()
    assert bench.state() == ("ended", 2, "aborted"), "frozen"
    bench.freeze(False)
    bench.clock.once()
    assert bench.state() == ("shadow", 3, None)


def test_or_takes_the_place(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW, supersede="newest")
    bench.verdict(3)
    assert bench.state() == ("shadow", 3, None)
    assert [each for each in bench.events() if "Rollout" in each] == [
        "RolloutChanged shadow",
        "RolloutChanged ended",
        "RolloutChanged shadow",
    ]


def test_frozen_nothing_goes_forward_but_harm_aborts(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    bench.freeze()
    bench.measured(**BETTER)
    assert bench.state() == ("shadow", 2, None)
    bench.freeze(False)
    bench.clock.once()
    assert bench.champion() == 2
    bench.verdict(3)
    bench.freeze()
    bench.measured(n=1000, wins=50, losses=400)
    assert bench.state() == ("ended", 3, "aborted")


def test_a_watch_that_may_not_roll_back_warns_once(bench: RolloutBench) -> None:
    bench.begun(watch={"for": "1h", "rollback": False})
    for n in (2000, 3000):
        bench.measured(n=n, champion_errors=n // 10)
    assert bench.trail().count("rollout warning") == 1 and bench.champion() == 2
    bench.later(hours=2)
    assert bench.state() == ("ended", 2, "promoted")
    assert replay_rollout(bench.row()).agrees


def test_a_person_who_promotes_or_rolls_back_ends_the_rollout(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW, watch=True)
    with bench.database.transaction() as session:
        queries.lock(session, bench.name)
        row = queries.candidate(session, bench.name, 2)
        decision = on_request(2, Outcome.PASSED, False, queries.state(session, bench.name))
        bench.recorder.promote(session, row, decision, actor="ada", reason="now", policy=bench.policies[bench.name])
    assert bench.champion() == 2 and bench.state() == ("watch", 2, None)
    assert [each for each in bench.events() if "Rollout" in each] == [
        "RolloutChanged shadow",
        "RolloutChanged ended",
        "RolloutChanged watch",
    ]


def test_approval_expires_and_a_refusal_ends_it(bench: RolloutBench) -> None:
    bench.begun(approval={"people": 1, "expires": "1h"})
    assert bench.state() == ("approval", 2, None)
    bench.later(hours=2)
    assert bench.state() == ("ended", 2, "expired") and bench.rollout()["reason"].startswith("0 of 1 people")
    bench.verdict(3)
    bench.approvals.refuse(bench.name, actor="grace", reason="the data are old")
    assert bench.state() == ("ended", 3, "refused") and bench.candidate(3).quarantine
    with pytest.raises(CommandRefused, match="the last one ended as refused: the data are old"):
        bench.approvals.approve(bench.name, actor="ada", reason="yes")


def test_a_policy_that_wants_no_people_any_more_ends_the_request(bench: RolloutBench) -> None:
    bench.begun(approval=True)
    bench.policy()
    bench.clock.once()
    assert bench.state() == ("ended", 2, "superseded")


def test_a_decision_takes_milliseconds_and_the_evidence_kilobytes(bench: RolloutBench) -> None:
    bench.begun(strategy=[SHADOW, CANARY], watch=True)
    bench.measured(**BETTER)
    times = []
    rollout = bench.rollout()
    for number in range(100):
        event = sums_of(rollout, n=1_000_000 + number, share=0.1)
        with bench.database.transaction() as session:
            began = time.process_time()
            bench.handlers.on_rollout_measured(session, new_envelope(event, source="bench"))
            times.append(time.process_time() - began)
    assert sorted(times)[50] < 0.005, sorted(times)
    for share in (0.1, 0.5):
        bench.measured(n=2_000_000, share=share)
        bench.later(minutes=11)
    assert bench.champion() == 2
    bench.later(hours=25)
    row = bench.row()
    kept = json.dumps([row.plan, row.history, row.measured, row.figures, row.challenge])
    assert row.result == "promoted" and len(kept) < 100_000, len(kept)
