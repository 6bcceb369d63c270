"""A version is registered again: judged again when another verdict is possible or requested, else its verdict stands.

And a version that lacks something waits for it, without a verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from contracts import GateFailed, GatePassed, ModelRegistered, Trigger
from support.bus_client import BusClient
from support.candidates import ANYONES, Candidates, rows
from support.cli import gauntlet
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import POLICY, Gatekeepers, NameOf
from support.waiting import eventually

AGAIN = Trigger(kind="again", reason="the labels were corrected")


def bare(model_name: str, version: int, trigger: Trigger | None = None) -> ModelRegistered:
    return ModelRegistered(model_name=model_name, model_version=version, trigger=trigger)


def registration(gatekeeper: Gatekeepers, model_name: str, version: int, event_id: str) -> dict[str, Any]:
    """What came of this event, once that is decided."""

    def decided() -> dict[str, Any] | None:
        found = gatekeeper.candidate(model_name, version)["registrations"]
        each = next((each for each in found if each["event_id"] == event_id), None)
        return each if each and (each["judgement"] or each["kept"]) else None

    return eventually(decided, timeout=60)


def judged(gatekeeper: Gatekeepers, model_name: str, version: int, judgement: int) -> dict[str, Any]:
    def found() -> Any:
        candidate = gatekeeper.candidate(model_name, version)
        return candidate if candidate["judgement"] == judgement and candidate["judged_at"] else None

    return eventually(found, timeout=60)


def actions(gatekeeper: Gatekeepers, model_name: str) -> list[str]:
    return [row["action"] for row in reversed(gatekeeper.get(f"/audit?model={model_name}"))]


def create_golden(gatekeeper: Gatekeepers, model_name: str, frame: pd.DataFrame) -> str:
    path = gatekeeper.folder / f"{uuid4().hex}.parquet"
    frame.to_parquet(path, index=False)
    made = gatekeeper.post(
        f"/models/{model_name}/golden", params={"actor": "ada", "note": "for a test"}, content=path.read_bytes()
    )
    assert made.status_code == 201, made.text
    return str(made.json()["digest"])


def waiting(gatekeeper: Gatekeepers, model_name: str, version: int, what: str) -> dict[str, Any]:
    def found() -> Any:
        candidate = gatekeeper.candidate(model_name, version)
        return candidate if what in (candidate["reason"] or "") else None

    candidate = eventually(found, timeout=60)
    assert candidate["state"] == "waiting" and candidate["judged_at"] is None and candidate["verdicts"] == []
    return candidate


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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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
