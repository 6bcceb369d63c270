"""A version that lacks something waits for it, without a verdict."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from contracts import GateFailed, GatePassed, Trigger
from support.bus_client import BusClient
from support.candidates import ANYONES, Candidates, rows
from support.databases import on_sqlite
from support.gatekeepers import Gatekeepers, NameOf
from support.registering import bare, create_golden, registration
from support.waiting import eventually


def waiting(gatekeeper: Gatekeepers, model_name: str, version: int, what: str) -> dict[str, Any]:
    def found() -> Any:
        candidate = gatekeeper.candidate(model_name, version)
        return candidate if what in (candidate["reason"] or "") else None

    candidate = eventually(found, timeout=60)
    assert candidate["state"] == "waiting" and candidate["judged_at"] is None and candidate["verdicts"] == []
    return candidate


def test_a_version_without_golden_rows_waits_for_them_and_goes_on(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("pinned")
    told = bus.publish(candidates.version(name, "good"))
    waiting(
        gatekeeper, name, 1, f"waiting for: golden rows, labelled rows to judge it on: gauntlet golden create {name}"
    )
    assert gatekeeper.post(f"/models/{name}/candidates/1/replay").status_code == 409
    create_golden(gatekeeper, name, rows(seed=3))
    candidate = gatekeeper.judged(name, 1)
    assert (candidate["state"], candidate["judgement"]) == ("passed", 1)
    assert registration(gatekeeper, name, 1, told.id)["judgement"] == 1
    assert [each for each in bus.events(GateFailed.topic) if each.model_name == name] == []


def test_a_waiting_version_does_not_hold_up_the_next_and_a_better_event_completes_it(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    bus.publish(candidates.version(model_name, ANYONES))
    waiting(gatekeeper, model_name, 1, "golden rows")
    complete = candidates.version(model_name, "good")
    bus.publish(complete)
    assert gatekeeper.judged(model_name, 2)["state"] == "passed"
    whole = complete.model_copy(update={"model_version": 1, "artifact_digest": None, "artifact_uri": None})
    bus.publish(whole)
    candidate = gatekeeper.judged(model_name, 1)
    assert candidate["datasets"]["evaluation"]["digest"] == complete.evaluation.digest


def test_a_person_may_promote_a_version_that_waits(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    bus.publish(candidates.version(model_name, ANYONES))
    waiting(gatekeeper, model_name, 1, "golden rows")
    answer = gatekeeper.post(
        f"/models/{model_name}/promote", {"actor": "ada", "reason": "it is urgent", "model_version": 1}
    )
    assert answer.status_code == 200 and answer.json()["cause"] == "override"


def test_a_version_that_nobody_announced_waits_for_the_end_of_its_run(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    """It may be in a notebook that is not done yet. Who registers it does not want to wait for that."""
    kind = candidates.kind("unfinished", "return 1 / (1 + np.exp(-(1.5 * frame['a'] + frame['b'])))")
    candidates.client.update_run(kind.run_id, status="RUNNING")
    candidates.version(model_name, "unfinished")
    eventually(lambda: gatekeeper.get(f"/models/{model_name}/candidates") != [])
    waiting(gatekeeper, model_name, 1, f"the end of its run {kind.run_id}, which is RUNNING")
    bus.publish(bare(model_name, 1, Trigger(kind="manual")))
    assert gatekeeper.judged(model_name, 1)["state"] == "passed"
    candidates.version(model_name, "unfinished")
    eventually(lambda: len(gatekeeper.get(f"/models/{model_name}/candidates")) == 2)
    waiting(gatekeeper, model_name, 2, "the end of its run")
    candidates.client.update_run(kind.run_id, status="FINISHED")
    gatekeeper.judged(model_name, 2)


@on_sqlite
def test_a_version_without_a_policy_waits_for_one(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.start_ready()
    own_bus.publish(candidates.version(name, "good"))
    waiting(gatekeepers, name, 1, f"waiting for: a policy: model {name!r} has no policy in ")
    gatekeepers.policy(name)
    assert gatekeepers.judged(name, 1)["state"] == "passed"
    assert [type(each.data) for each in own_bus.events(GatePassed.topic) if each.model_name == name] == [GatePassed]
