"""Rollouts through real Kafka: the test publishes what serving and drift would."""

from __future__ import annotations

from functools import partial

import pytest

from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import Gatekeepers
from support.rollouts import Rolling, sums_of
from support.waiting import eventually

seen = partial(eventually, timeout=60)

SHADOW = {"shadow": {"rows": "100..5000", "on": ["metric", "errors"]}}
CANARY = {"canary": {"steps": ["10%", "50%"], "bake": "1s", "minimum": 100}}


@pytest.fixture
def rolling(gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates) -> Rolling:
    return Rolling(gatekeepers, own_bus, candidates)


@on_postgres
def test_from_passed_to_champion_and_back_by_itself(rolling: Rolling) -> None:
    """Shadow, canary of two steps, promotion, watch, rollback: every step through Kafka, each event twice or late."""
    rolling.start(strategy=[SHADOW, CANARY], watch={"for": "1h"})
    rolling.champion()
    rolling.register("good")
    shadow = rolling.at("shadow", mode="shadow", step=0)
    assert (shadow["challenger_version"], shadow["champion_version"], shadow["champion_epoch"]) == (2, 1, 1)
    early = rolling.measured(shadow, n=50, wins=10)
    rolling.measured(shadow, n=1000, wins=200, losses=50)
    canary = rolling.at("canary", step=1, mode="split", share=0.1)
    rolling.bus.publish(early, times=2)  # late
    rolling.measured(shadow, n=5000, losses=5000)  # of a step that is over
    rolling.measured(canary, n=500, share=0.1)
    rolling.bus.publish(sums_of(canary, n=40, share=0.1, lost=True))  # of a drift service that has lost its database
    canary = rolling.at("canary", step=2, share=0.5)
    rolling.measured(canary, n=600, share=0.5)
    watch = rolling.at("watch", mode="shadow", step=3)
    assert (watch["champion_version"], watch["champion_epoch"], watch["tried_version"]) == (2, 2, 1)
    assert rolling.gatekeepers.champion(rolling.name) == 2
    rolling.measured(watch, n=400)
    rolling.measured(watch, n=2000, champion_errors=200)
    ended = rolling.at("ended", result="rolled back")
    assert [each["state"] for each in ended["steps"]] == ["done"] * 4
    assert rolling.gatekeepers.champion(rolling.name) == 1
    (first, second, third) = seen(lambda: rolling.promoted(3))
    assert [(each.model_version, each.epoch, each.cause) for each in (first, second, third)] == [
        (1, 1, "gate"),
        (2, 2, "trial"),
        (1, 3, "rollback"),
    ]
    assert third.actor == "gatekeeper" and third.artifact_digest == first.artifact_digest
    changes = rolling.changes()
    assert [each.revision for each in changes] == [1, 2, 3, 4, 5]
    assert [each.stage for each in changes] == ["shadow", "canary", "canary", "watch", "ended"]
    assert len({each.salt for each in changes}) == 1 and changes[-1].mode == "off"
    assert changes[0].loss is not None and changes[0].loss.kind == "brier"
    candidate = rolling.gatekeepers.candidate(rolling.name, 2)
    assert "rolled back" in candidate["quarantine"]
    trail = [row["action"] for row in rolling.gatekeepers.get(f"/audit?model={rolling.name}")]
    assert trail[:5] == ["rollout rolled back", "rolled back", "rollout watch", "promoted", "rollout canary"]
    assert rolling.gatekeepers.get("/audit/verify")["broken"] is None
    replay = rolling.gatekeepers.post(f"/models/{rolling.name}/candidates/2/replay").json()
    assert replay["agrees"], replay
    assert [each["now"] for each in replay["rollouts"][0]["steps"]] == ["Advance"] * 3 + ["RollBack"]


@on_sqlite
def test_a_challenger_waits_for_staging_and_for_two_people(rolling: Rolling) -> None:
    rolling.start(staging="smoke", approval={"people": 2, "expires": "1h"})
    rolling.champion()
    rolling.register("good", trigger={"kind": "manual", "by": "Bob"})
    rollout = rolling.at("staging")
    assert (rollout["challenger_version"], rollout["champion_version"], rollout["mode"]) == (2, 1, "off")
    rolling.loaded(2, role="staging")
    rollout = rolling.at("approval")
    assert rollout["people_needed"] == 2 and rollout["steps"][0]["state"] == "done"
    other = rolling.post("approve", verdict_digest=f"sha256:{0:064}")
    assert other.status_code == 409 and rollout["verdict_digest"] in other.text
    own = rolling.post("approve", actor="bob")
    assert own.status_code == 409 and "another person" in own.text
    assert rolling.post("approve", verdict_digest=rollout["verdict_digest"]).json()["people_needed"] == 1
    again = rolling.post("approve", actor="Ada ")
    assert again.status_code == 409 and "already" in again.text
    rolling.policy(staging="smoke", approval={"people": 2, "expires": "2h"})
    anew = seen(lambda: (found := rolling.at("approval"))["verdict_digest"] != rollout["verdict_digest"] and found)
    assert anew["people_needed"] == 2, "approvals under the former policy do not count"
    assert rolling.post("approve").json()["people_needed"] == 1
    assert rolling.post("approve", actor="grace").json()["result"] == "promoted"
    (_, promoted) = seen(lambda: rolling.promoted(2))
    assert (promoted.model_version, promoted.cause, promoted.actor) == (2, "approval", "ada, grace")
    changes = seen(lambda: (found := rolling.changes()) and found[-1].stage == "ended" and found)
    assert [(each.revision, each.stage) for each in changes] == [(1, "staging"), (2, "approval"), (3, "ended")]
    kinds = [type(item.data).__name__ for item in rolling.bus.events("approvals") if item.data.model_version == 2]
    assert "approval not allowed" in [row["action"] for row in rolling.gatekeepers.get(f"/audit?model={rolling.name}")]
    assert kinds == ["ApprovalRequested", "ApprovalGiven", "ApprovalRequested", "ApprovalGiven", "ApprovalGiven"]
