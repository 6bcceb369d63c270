"""A version is registered again: judged again if another verdict is possible or requested, else its verdict stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts import GateFailed, Trigger
from support.bus_client import BusClient
from support.candidates import Candidates, rows
from support.cli import gauntlet
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import POLICY, Gatekeepers, NameOf
from support.registering import bare, create_golden, registration
from support.waiting import eventually

AGAIN = Trigger(kind="again", reason="the labels were corrected")


def judged(gatekeeper: Gatekeepers, model_name: str, version: int, judgement: int) -> dict[str, Any]:
    def found() -> Any:
        candidate = gatekeeper.candidate(model_name, version)
        return candidate if candidate["judgement"] == judgement and candidate["judged_at"] else None

    return eventually(found, timeout=60)


def actions(gatekeeper: Gatekeepers, model_name: str) -> list[str]:
    return [row["action"] for row in reversed(gatekeeper.get(f"/audit?model={model_name}"))]


def test_a_verdict_stands_until_another_is_requested_with_a_reason(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    bus.publish(candidates.version(model_name, "good"))
    assert gatekeeper.judged(model_name, 1)["state"] == "passed"
    bus.publish(candidates.version(model_name, "worse"))
    first = gatekeeper.judged(model_name, 2)
    assert (first["state"], first["judgement"]) == ("failed", 1)

    plain = bus.publish(bare(model_name, 2))
    kept = registration(gatekeeper, model_name, 2, plain.id)
    assert kept["judgement"] is None and "was judged Failed" in kept["kept"] and "--again" in kept["kept"]
    unreasoned = bus.publish(bare(model_name, 2, Trigger(kind="again", reason=" ")))
    assert "needs a reason" in registration(gatekeeper, model_name, 2, unreasoned.id)["kept"]
    assert gatekeeper.candidate(model_name, 2)["judged_at"] == first["judged_at"]

    again = bus.publish(bare(model_name, 2, AGAIN), times=3)
    assert registration(gatekeeper, model_name, 2, again.id)["judgement"] == 2
    second = judged(gatekeeper, model_name, 2, 2)
    assert second["state"] == "failed" and second["judged_at"] > first["judged_at"]
    (earlier,) = second["earlier"]
    assert (earlier["judgement"], earlier["judged_at"]) == (1, first["judged_at"])
    assert [each["gate"] for each in earlier["verdicts"]] == [each["gate"] for each in first["verdicts"]]
    # The same comparison again: the same α, so the same numbers.
    assert [each for each in second["verdicts"] if each["gate"] == "performance"] == [
        each for each in first["verdicts"] if each["gate"] == "performance"
    ]
    bus.send(again)
    last = bus.publish(bare(model_name, 2))
    assert registration(gatekeeper, model_name, 2, last.id)["kept"]
    wanted = ["registered", "judged", "promoted", "registered", "judged", "judged again", "judged"]
    assert actions(gatekeeper, model_name) == wanted
    (why,) = [row["reason"] for row in gatekeeper.get(f"/audit?model={model_name}") if row["action"] == "judged again"]
    assert "the labels were corrected" in why
    failed = [each for each in bus.events(GateFailed.topic) if each.model_name == model_name]
    assert [(each.data.model_version, each.causation_id) for each in failed][1:] == [(2, again.id)]


def test_wait_shows_the_verdict_of_this_request_and_never_an_old_one(
    gatekeeper: Gatekeepers,
    name_of: NameOf,
    candidates: Candidates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", gatekeeper.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", gatekeeper.prefix)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gatekeeper.tracking_uri)
    monkeypatch.setenv("GATEKEEPER_URL", gatekeeper.url())
    name = name_of("pinned")
    candidates.version(name, "good")
    waits = gauntlet("register", name, "1", "--wait", "--timeout", "8")
    assert waits.code == 1 and f"gauntlet golden create {name} FILE" in waits.err
    listed = gauntlet("candidates", name)
    assert "waiting" in listed.out and "waiting for: golden rows" in listed.out
    shown = gauntlet("show", name, "1")
    assert shown.out.startswith("Waiting") and "golden create" in shown.out
    create_golden(gatekeeper, name, rows(seed=3))
    passed = gauntlet("register", name, "1", "--wait", "--timeout", "60")
    assert passed.code == 0 and passed.out.count("Passed") > 5, passed.err
    stands = gauntlet("register", name, "1", "--wait", "--timeout", "60")
    assert stands.code == 1 and f"{name} v1 was judged Passed" in stands.err and "--again" in stands.err
    assert "lineage" not in stands.out, "no old verdict is shown"
    again = gauntlet("register", name, "1", "--again", "--reason", "once more", "--wait", "--timeout", "60")
    assert again.code == 0 and "lineage" in again.out, again.err
    assert "earlier verdict" in gauntlet("show", name, "1").out


def test_alpha_that_a_verdict_has_spent_stays_spent_for_others(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    """The third version is the third challenger on these rows, however often the second was judged."""
    for number, kind in enumerate(("good", "worse"), start=1):
        bus.publish(candidates.version(model_name, kind))
        gatekeeper.judged(model_name, number)
    bus.publish(bare(model_name, 2, AGAIN))
    judged(gatekeeper, model_name, 2, 2)
    bus.publish(candidates.version(model_name, "backwards"))
    third = gatekeeper.judged(model_name, 3)
    (performance,) = [each for each in third["verdicts"] if each["gate"] == "performance"]
    assert performance["details"]["k"] == 3


def test_a_champion_that_is_judged_again_is_compared_with_the_one_before_it(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    """With itself it could not be better; and whatever comes of it, it stays champion until people decide."""
    for number, kind in enumerate(("fair", "good"), start=1):
        bus.publish(candidates.version(model_name, kind))
        assert gatekeeper.judged(model_name, number)["state"] == "passed"
        bus.publish(bare(model_name, number, AGAIN))
        again = judged(gatekeeper, model_name, number, 2)
        assert (again["state"], again["champion_version"]) == ("passed", number - 1 or None)
    assert [each["epoch"] for each in gatekeeper.get(f"/models/{model_name}/promotions")] == [2, 1]
    wanted = ["registered", "judged", "promoted", "judged again", "judged", "held"]
    assert actions(gatekeeper, model_name) == wanted * 2


def test_another_golden_dataset_or_champion_makes_another_verdict_possible(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("pinned")
    create_golden(gatekeeper, name, rows(seed=3))
    bus.publish(candidates.version(name, "fair"))
    assert gatekeeper.judged(name, 1)["state"] == "passed"
    bus.publish(candidates.version(name, "worse"))
    first = gatekeeper.judged(name, 2)
    newer = create_golden(gatekeeper, name, rows(seed=4))
    told = bus.publish(bare(name, 2))
    assert registration(gatekeeper, name, 2, told.id)["judgement"] == 2
    second = judged(gatekeeper, name, 2, 2)
    assert second["evidence"]["golden"]["digest"] == newer != first["evidence"]["golden"]["digest"]
    bus.publish(candidates.version(name, "good"))
    assert gatekeeper.judged(name, 3)["state"] == "passed"
    told = bus.publish(bare(name, 2))
    assert judged(gatekeeper, name, 2, 3)["champion_version"] == 3
    row = next(row for row in gatekeeper.get(f"/audit?model={name}") if row["action"] == "judged again")
    assert "champion v1, and now v3 is" in row["reason"] and row["evidence"]["event_id"] == told.id


@on_postgres
def test_under_another_policy_it_is_judged_again_and_promoted_once_though_killed_before_the_result(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    name = f"m-{uuid4().hex[:8]}"
    strict = {**POLICY["gates"], "performance": {"floor": {"roc_auc": 0.999}}}
    gatekeepers.policy(name, gates=strict)
    first = gatekeepers.start_ready()
    own_bus.publish(candidates.version(name, "good"))
    assert gatekeepers.judged(name, 1)["state"] == "failed"
    first.terminate()
    first.wait(30)
    gatekeepers.policy(name)
    again = own_bus.publish(bare(name, 1), times=2)
    dying = gatekeepers.start(dying_at="before_result")
    assert dying.wait(90) == -9
    gatekeepers.start_ready()
    candidate = judged(gatekeepers, name, 1, 2)
    assert candidate["state"] == "passed"
    assert registration(gatekeepers, name, 1, again.id)["judgement"] == 2
    eventually(lambda: gatekeepers.champion(name) == 1)
    assert actions(gatekeepers, name) == ["registered", "judged", "judged again", "judged", "promoted"]
    assert "the policy has changed" in gatekeepers.get(f"/audit?model={name}")[2]["reason"]


@on_sqlite
def test_a_version_rolled_back_from_returns_only_on_request(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.policy(name)
    gatekeepers.start_ready()
    for number, kind in enumerate(("fair", "good"), start=1):
        own_bus.publish(candidates.version(name, kind))
        gatekeepers.judged(name, number)
    gatekeepers.post(f"/models/{name}/rollback", {"actor": "ada", "reason": "it was wrong"})
    plain = own_bus.publish(bare(name, 2))
    assert "a person rolled back from it" in registration(gatekeepers, name, 2, plain.id)["kept"]
    own_bus.publish(bare(name, 2, Trigger(kind="again", reason="the cause was found elsewhere")))
    assert judged(gatekeepers, name, 2, 2)["state"] == "passed"
    eventually(lambda: gatekeepers.champion(name) == 2)
    epochs = [each["epoch"] for each in gatekeepers.get(f"/models/{name}/promotions")]
    assert epochs == [4, 3, 2, 1]
