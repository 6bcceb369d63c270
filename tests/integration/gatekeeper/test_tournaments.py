"""Earlier versions on the golden rows of a new one: the best comes back, in full view of its gates."""

from __future__ import annotations

import pandas as pd

from contracts import Promoted
from support.bus_client import BusClient
from support.candidates import Candidates, rows
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "somebody was sure"}


def promotions(bus: BusClient, name: str):
    return [
        item.data for item in bus.events(Promoted.topic) if item.model_name == name and isinstance(item.data, Promoted)
    ]


def a_worse_one_is_champion(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, name: str) -> None:
    """v1 was champion; a person wanted v2, which is worse."""
    bus.publish(candidates.version(name, "good"))
    assert gatekeeper.judged(name, 1)["state"] == "passed"
    bus.publish(candidates.version(name, "worse"))
    assert gatekeeper.judged(name, 2)["state"] == "failed"
    assert gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 2}).is_success
    assert gatekeeper.champion(name) == 2


def test_an_earlier_version_that_is_better_again_is_promoted_though_the_new_one_failed(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("retained")
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    bus.publish(candidates.version(name, "raising"))  # never plays: it did not answer
    assert gatekeeper.judged(name, 3)["state"] == "failed"
    eventually(lambda: gatekeeper.champion(name) == 1)
    bus.publish(candidates.version(name, "fair"))
    last = gatekeeper.judged(name, 4)
    assert (last["state"], last["champion_version"]) == ("failed", 1)
    assert gatekeeper.champion(name) == 1


def test_the_promotion_says_what_it_rests_on(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("retained")
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    bus.publish(candidates.version(name, "backwards"))
    backwards = gatekeeper.judged(name, 3)
    assert backwards["state"] == "failed"
    found = eventually(lambda: promotions(bus, name)[2:])[0]
    assert (found.model_version, found.previous_version, found.epoch) == (1, 2, 3)
    assert (found.cause, found.actor, found.evidence_id) == ("tournament", "gatekeeper", backwards["id"])
    assert "better than champion v2" in found.reason
    assert found.baseline["roc_auc"] > 0.8 and found.reference is not None
    played = backwards["evidence"]["tournament"]
    assert (played["winner"], played["champion_version"], list(played["entrants"])) == (1, 2, ["1"])
    assert {item["outcome"] for item in played["gates"]} == {"Passed"}
    trail = gatekeeper.get(f"/audit?model={name}")
    assert [row["action"] for row in trail[:2]] == ["promoted", "judged"]
    assert trail[0]["evidence"]["cause"] == "tournament"


def test_a_new_version_that_is_as_good_is_preferred(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("retained")
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    bus.publish(candidates.version(name, "good"))
    assert gatekeeper.judged(name, 3)["state"] == "passed"
    last = eventually(lambda: promotions(bus, name)[2:])[0]
    assert (last.model_version, last.cause) == (3, "gate")
    assert gatekeeper.champion(name) == 3


def test_a_frozen_model_keeps_its_champion_and_the_trail_says_who_won(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("retained")
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    assert gatekeeper.post(f"/models/{name}/freeze", WHO).is_success
    bus.publish(candidates.version(name, "backwards"))
    gatekeeper.judged(name, 3)
    held = eventually(lambda: [row for row in gatekeeper.get(f"/audit?model={name}") if row["action"] == "held"])[0]
    assert held["model_version"] == 1 and "won a tournament" in held["reason"]
    assert gatekeeper.champion(name) == 2


def test_a_version_that_a_person_rolled_back_from_does_not_come_back_by_itself(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("retained")
    for version, kind in ((1, "fair"), (2, "good")):
        bus.publish(candidates.version(name, kind))
        assert gatekeeper.judged(name, version)["state"] == "passed"
    assert gatekeeper.post(f"/models/{name}/rollback", {**WHO, "to": 1}).is_success
    bus.publish(candidates.version(name, "worse"))
    played = gatekeeper.judged(name, 3)["evidence"]["tournament"]
    assert (played["entrants"], played["winner"]) == ({}, None)
    assert gatekeeper.champion(name) == 1


def test_rows_older_than_those_of_the_champion_bring_nobody_back(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    """A version of an old month must not have the model of that month come back."""
    name = name_of("held-out")
    strangers = rows(seed=3)["who"].radd("other ")
    newer = rows(seed=3).assign(who=strangers)
    newest = candidates.golden(newer)
    oldest = candidates.golden(newer.assign(at=newer["at"] - pd.Timedelta(days=365)))

    def judged(kind: str, evaluation: dict) -> dict:
        registered = candidates.version(name, kind, evaluation=evaluation)
        bus.publish(registered)
        return gatekeeper.judged(name, registered.model_version)

    assert judged("good", newest)["state"] == "passed"
    assert judged("worse", newest)["state"] == "failed"
    assert gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 2}).is_success
    assert judged("backwards", oldest)["state"] == "failed"
    assert gatekeeper.champion(name) == 2
    assert judged("backwards", newest)["state"] == "failed"
    eventually(lambda: gatekeeper.champion(name) == 1)
