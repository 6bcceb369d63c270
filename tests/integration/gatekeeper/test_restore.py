"""A wiped or older database: nothing is promoted again, and nothing goes back (docs/adr/0005)."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from contracts import Cause, OutputFormat, Promoted
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import Gatekeepers
from support.processes import end
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "because"}

seen = partial(eventually, timeout=60)


@pytest.fixture
def model_name(gatekeepers: Gatekeepers) -> str:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.policy(name)
    return name


def promoted(bus: BusClient) -> list[tuple[int, int]]:
    """Epochs and versions, as they were published; a record that says the same again counts once."""
    ids = {item.id: (item.data.epoch, item.data.model_version) for item in bus.events(Promoted.topic)}
    return list(ids.values())


def gated(gatekeepers: Gatekeepers, bus: BusClient, candidates: Candidates, name: str, *kinds: str) -> list:
    """Registers and waits; returns what was published."""
    told = []
    for kind in kinds:
        told.append(bus.publish(candidates.version(name, kind)))
        version = told[-1].data.model_version
        gatekeepers.judged(name, version)
    return told


@on_sqlite
def test_a_wiped_database_promotes_nothing_again_and_goes_on_from_there(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    gatekeepers.start_ready()
    told = gated(gatekeepers, own_bus, candidates, model_name, "fair", "good", "worse")
    assert gatekeepers.post(f"/models/{model_name}/rollback", WHO).json()["epoch"] == 3
    past = [(1, 1), (2, 2), (3, 1)]
    seen(lambda: promoted(own_bus) == past)
    end(gatekeepers.processes[-1])

    gatekeepers.database_url = f"sqlite:///{tmp_path / 'new.db'}"
    gatekeepers.start_ready(GATEKEEPER_RECONCILE_GRACE_SECONDS="0")
    for envelope in told:
        own_bus.send(envelope)  # as if replayed from offset zero
    model = gatekeepers.get(f"/models/{model_name}")
    assert (model["champion"]["model_version"], model["champion"]["epoch"]) == (1, 3)
    assert model["champion"]["restored"] is True
    for envelope in told:
        candidate = eventually(lambda version=envelope.data.model_version: gatekeepers.judged(model_name, version))
        assert candidate["state"] == "superseded" and "restored" in candidate["reason"]
    assert [row["action"] for row in gatekeepers.get(f"/audit?model={model_name}")][-1] == "restored"
    assert promoted(own_bus) == past

    chosen = gatekeepers.post(f"/models/{model_name}/promote", {**WHO, "model_version": 2}).json()
    assert (chosen["epoch"], chosen["cause"], chosen["previous_version"]) == (4, "override", 1)
    assert chosen["artifact_digest"] == told[1].data.artifact_digest
    assert gatekeepers.post(f"/models/{model_name}/rollback", WHO).json()["epoch"] == 5
    gated(gatekeepers, own_bus, candidates, model_name, "good")
    assert gatekeepers.champion(model_name) == 4
    seen(lambda: promoted(own_bus) == [*past, (4, 2), (5, 1), (6, 4)])
    read_as = OutputFormat(problem="binary", classes=(0, 1), label="late", entity="who", event_time="at")
    assert {item.data.output for item in own_bus.events(Promoted.topic)} == {read_as}, "restored with the promotions"


@on_sqlite
def test_a_record_that_cannot_be_ours_does_not_keep_it_from_starting(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates
) -> None:
    odd = Promoted(
        model_name=model_name,
        model_version=1,
        epoch=7,
        artifact_uri="a\0b",
        artifact_digest="sha256:0",
        cause=Cause.GATE,
        actor="somebody",
    )
    own_bus.publish(odd)
    own_bus.publish(odd.model_copy(update={"artifact_uri": "a", "epoch": 2**31}))
    own_bus.publish(odd.model_copy(update={"artifact_uri": "a", "model_version": 10**30}))
    own_bus.raw(Promoted.topic, model_name.encode(), b"no JSON")
    gatekeepers.start_ready()
    gated(gatekeepers, own_bus, candidates, model_name, "fair")
    assert gatekeepers.get(f"/models/{model_name}")["champion"]["epoch"] == 1


@on_postgres
def test_of_two_promotions_with_one_epoch_the_later_is_in_force_with_this_database_and_without(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    gatekeepers.start_ready()
    gated(gatekeepers, own_bus, candidates, model_name, "fair", "good")
    seen(lambda: promoted(own_bus) == [(1, 1), (2, 2)])
    ours = own_bus.events(Promoted.topic)[-1]
    other = own_bus.publish(ours.data.model_copy(update={"model_version": 1, "actor": "another gatekeeper"}))

    def in_force() -> tuple[int, int, str]:
        found = gatekeepers.get(f"/models/{model_name}")["champion"]
        return found["epoch"], found["model_version"], found["actor"]

    seen(lambda: in_force() == (2, 1, "another gatekeeper"))
    (restored,) = [row for row in gatekeepers.get(f"/audit?model={model_name}") if row["action"] == "restored"]
    assert other.id in restored["reason"] and ours.id in restored["reason"]
    end(gatekeepers.processes[-1])
    gatekeepers.start_ready()
    assert in_force() == (2, 1, "another gatekeeper")
    end(gatekeepers.processes[-1])
    gatekeepers.database_url = f"sqlite:///{tmp_path / 'new.db'}"  # wiped, and of the other kind
    gatekeepers.start_ready()
    assert in_force() == (2, 1, "another gatekeeper")
    own_bus.send(ours)  # its own record again, later
    seen(lambda: in_force() == (2, 2, "gatekeeper"))


def test_an_older_database_learns_what_it_missed(
    kafka: EmbeddedKafka, own_bus: BusClient, candidates: Candidates, topic_prefix: str, tmp_path: Path
) -> None:
    database, name = tmp_path / "test.db", f"m-{uuid4().hex[:8]}"
    uri = candidates.client.tracking_uri
    service = Gatekeepers(kafka.bootstrap_servers, topic_prefix, f"sqlite:///{database}", uri, tmp_path)
    service.policy(name)
    try:
        process = service.start_ready()
        gated(service, own_bus, candidates, name, "fair")
        seen(lambda: promoted(own_bus) == [(1, 1)])
        end(process)
        for suffix in ("", "-wal", "-shm"):
            if Path(f"{database}{suffix}").exists():
                shutil.copy(f"{database}{suffix}", tmp_path / f"old{suffix}")
        process = service.start_ready()
        told = gated(service, own_bus, candidates, name, "good")
        seen(lambda: promoted(own_bus) == [(1, 1), (2, 2)])
        end(process)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
            if (tmp_path / f"old{suffix}").exists():
                shutil.copy(tmp_path / f"old{suffix}", f"{database}{suffix}")
        if "gauntlet.manifest" in candidates.tags(name, 2):
            candidates.client.delete_model_version_tag(name, "2", "gauntlet.manifest")
        service.start_ready(GATEKEEPER_RECONCILE_GRACE_SECONDS="0")
        own_bus.send(told[0])
        assert eventually(lambda: service.judged(name, 2))["state"] == "superseded"
        manifest = eventually(lambda: candidates.tags(name, 2).get("gauntlet.manifest"), timeout=60)
        assert manifest.endswith(f"{name}-v2-epoch2/manifest.json"), "what was restored has its manifest, too"
        epochs = [(item["epoch"], item["restored"]) for item in service.get(f"/models/{name}/promotions")]
        assert epochs == [(2, True), (1, False)]
        assert promoted(own_bus) == [(1, 1), (2, 2)]
    finally:
        service.stop()


@on_postgres
def test_a_topic_that_lost_the_newest_promotion_is_told_again(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates
) -> None:
    process = gatekeepers.start_ready()
    gated(gatekeepers, own_bus, candidates, model_name, "fair", "good")
    seen(lambda: promoted(own_bus) == [(1, 1), (2, 2)])
    end(process)
    emptied = BusClient(own_bus.bootstrap_servers, f"e{uuid4().hex[:8]}.")
    gatekeepers.prefix = emptied.prefix  # topics that never held anything
    gatekeepers.start_ready()
    seen(lambda: promoted(emptied) == [(2, 2)])
    (again,) = emptied.events(Promoted.topic)
    assert again.id == own_bus.events(Promoted.topic)[-1].id
    gatekeepers.post(f"/models/{model_name}/rollback", WHO)
    seen(lambda: promoted(emptied) == [(2, 2), (3, 1)])
