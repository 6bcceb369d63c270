"""Decisions are signed, and the gatekeeper believes only signed ones of its own past (docs/adr/0028)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.signing.keys import SigningKey
from contracts import GateFailed, GatePassed, Promoted, RolloutChanged
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_postgres
from support.gatekeepers import Gatekeepers
from support.mlflow_server import MlflowServer
from support.processes import end
from support.signed_topics import forged, signed_by, signer_of, write, write_keys
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "because"}

seen = partial(eventually, timeout=20)


class Stack:
    """A gatekeeper with two keys, on topics of its own."""

    def __init__(self, service: Gatekeepers, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.keys = write_keys(folder, "first", "second", "foreign")
        (folder / "trusted" / "foreign.pem").unlink()
        self.bus = BusClient(service.bootstrap_servers, service.prefix)
        self.first, self.second, self.foreign = self.keys.values()

    def settings(self, signing: str = "first", trusting: bool = True) -> dict[str, str]:
        found = {"GATEKEEPER_SIGNING_KEY": str(self.folder / f"{signing}.key")}
        return found | ({"GATEKEEPER_TRUSTED_KEYS": str(self.folder / "trusted")} if trusting else {})

    def start(self, **settings: str) -> None:
        self.service.start_ready(**settings)

    def restart(self, **settings: str) -> None:
        end(self.service.processes[-1])
        self.start(**settings)

    def judged(self, candidates: Candidates, model_name: str, *kinds: str) -> None:
        for kind in kinds:
            version = self.bus.publish(candidates.version(model_name, kind)).data.model_version
            self.service.judged(model_name, version)

    def rolled_back(self, model_name: str) -> int:
        return int(self.service.post(f"/models/{model_name}/rollback", WHO).json()["epoch"])

    def in_force(self, model_name: str) -> tuple[int, int]:
        champion = self.service.get(f"/models/{model_name}")["champion"]
        return champion["epoch"], champion["model_version"]

    def records(self, event: type[Any], model_name: str) -> list[Any]:
        return [record for record in self.bus.records(event.topic) if record.key == model_name.encode()]

    def last(self, event: type[Any], model_name: str, *keys: SigningKey) -> tuple[str | None, str | None]:
        """The id of the last record of a model and the key that signed it, of `keys` or of ours."""
        record = self.records(event, model_name)[-1]
        event_id = dict(record.headers).get("ce_id", b"").decode() or None
        return event_id, signer_of(record, event.topic, keys or (self.first, self.second))

    def refused(self, model_name: str) -> list[Any]:
        rows = self.service.get("/audit?limit=1000")
        return [row for row in rows if row["action"] == "not believed" and row["model_name"] == model_name]

    def metric(self, name: str) -> float:
        text = self.service.client.get(f"{self.service.url()}/metrics").text
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(value) for value in values)


@pytest.fixture(scope="module")
def signing(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One that signs and trusts, for the tests of this module."""
    folder = tmp_path_factory.mktemp("signing")
    url = f"sqlite:///{folder / 'test.db'}"
    stack = Stack(Gatekeepers(kafka.bootstrap_servers, f"s{uuid4().hex[:8]}.", url, mlflow_server.uri, folder), folder)
    for name in ("refused", "replayed", "rollouts"):
        changes = {"strategy": "shadow"} if name == "rollouts" else {}
        stack.service.policy(name, **changes)
    stack.start(**stack.settings())
    try:
        yield stack
    finally:
        stack.service.stop()
        stack.bus.close()


def test_what_no_trusted_key_signed_is_refused_audited_once_and_written_over(
    signing: Stack, candidates: Candidates
) -> None:
    name = "refused"
    signing.judged(candidates, name, "fair", "good", "backwards")
    assert signing.rolled_back(name) == 3
    seen(lambda: len(signing.records(Promoted, name)) == 3)
    for event, signs in ((GatePassed, True), (Promoted, True), (GateFailed, False)):
        records = signing.records(event, name)
        signers = {signer_of(record, event.topic, [signing.first]) for record in records}
        assert records and signers == {signing.first.key_id if signs else None}
    ours, genuine = signing.last(Promoted, name), signing.records(Promoted, name)[-1]
    assert signing.in_force(name) == (3, 1)

    event = signing.bus.events(Promoted.topic)[-1].data
    higher = event.model_copy(update={"epoch": 7, "model_version": 2, "actor": "mallory"})
    kinds = forged(genuine, higher, signing.foreign)
    for record in kinds.values():
        write(signing.bus, Promoted.topic, record)
    # Without its signature, or with a broken one, the record is still what this database decided: no one is accused.
    own = {"signature taken away", "broken signature"}
    seen(lambda: len(signing.refused(name)) == len(kinds) - len(own) - 1)
    seen(lambda: signing.last(Promoted, name) == ours)
    assert signing.in_force(name) == (3, 1)
    assert len(signing.refused("another-model")) == 1
    assert signing.metric("gauntlet_events_refused_total") == len(kinds)
    assert 1 <= signing.metric("gauntlet_decisions_repeated_total") < len(kinds), "at a bounded rate"
    audited = {row["evidence"]["digest"] for row in signing.refused(name)}

    before = signing.metric("gauntlet_events_refused_total")
    for kind in ("unsigned", "tombstone"):
        write(signing.bus, Promoted.topic, kinds[kind])
    seen(lambda: signing.metric("gauntlet_events_refused_total") == before + 2)
    seen(lambda: signing.last(Promoted, name) == ours)
    assert {row["evidence"]["digest"] for row in signing.refused(name)} == audited, "each once, not each replay"
    claimed = {row["evidence"].get("actor") for row in signing.refused(name)}
    assert "mallory" in claimed and {row["actor"] for row in signing.refused(name)} == {"gatekeeper"}
    seen(lambda: signing.metric("gauntlet_decisions_overwritten") == 0)


def test_an_older_signed_promotion_written_again_changes_nothing_and_is_written_over(
    signing: Stack, candidates: Candidates
) -> None:
    name = "replayed"
    signing.judged(candidates, name, "fair", "good")
    seen(lambda: len(signing.records(Promoted, name)) == 2)
    older = signing.records(Promoted, name)[0]
    ours = signing.last(Promoted, name)
    for _ in range(3):
        write(signing.bus, Promoted.topic, (older.key, older.value, list(older.headers)))
    seen(lambda: signing.last(Promoted, name) == ours)
    assert signing.in_force(name) == (2, 2) and signing.refused(name) == []

    earlier = signing.bus.events(Promoted.topic)[-1]
    other = earlier.data.model_copy(update={"model_version": 1})
    then = earlier.time.replace(year=earlier.time.year - 1)
    write(signing.bus, Promoted.topic, signed_by(other, signing.second, time=then))
    seen(lambda: signing.last(Promoted, name) == ours)
    assert signing.in_force(name) == (2, 2), "of one epoch, the one that was decided later is in force"
    repeats = [
        record for record in signing.records(Promoted, name) if dict(record.headers)["ce_id"] == ours[0].encode()
    ]
    assert len(repeats) < 10, "at a bounded rate"
    write(signing.bus, Promoted.topic, signed_by(other.model_copy(update={"actor": "another"}), signing.second))
    seen(lambda: signing.in_force(name) == (2, 1))


def test_a_rollout_that_was_not_signed_is_none(signing: Stack, candidates: Candidates) -> None:
    name = "rollouts"
    signing.judged(candidates, name, "fair", "good")
    seen(lambda: len(signing.records(RolloutChanged, name)) == 1)
    ours = signing.last(RolloutChanged, name)
    assert ours[1] == signing.first.key_id
    running = signing.service.get(f"/rollouts?model={name}")["rollouts"]
    assert len(running) == 1
    changed = signing.bus.events(RolloutChanged.topic)[-1].data
    foreign = changed.model_copy(update={"revision": changed.revision + 5, "rollout_id": "mallory's"})
    write(signing.bus, RolloutChanged.topic, signed_by(foreign))
    write(signing.bus, RolloutChanged.topic, signed_by(foreign, signing.foreign))
    seen(lambda: len(signing.refused(name)) == 2)
    seen(lambda: signing.last(RolloutChanged, name) == ours)
    assert signing.service.get(f"/rollouts?model={name}")["rollouts"] == running


@on_postgres
def test_signing_is_switched_on_and_its_key_is_replaced_without_a_gap(
    gatekeepers: Gatekeepers, candidates: Candidates, tmp_path: Path
) -> None:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.policy(name)
    stack = Stack(gatekeepers, tmp_path)
    stack.start()
    stack.judged(candidates, name, "fair", "good")
    seen(lambda: len(stack.records(Promoted, name)) == 2)
    unsigned = stack.last(Promoted, name)
    assert unsigned[1] is None

    stack.restart(**stack.settings("first", trusting=False))
    first = (unsigned[0], stack.first.key_id)
    seen(lambda: stack.last(Promoted, name) == first)  # what is in force is published again
    stack.restart(**stack.settings("first"))
    assert stack.in_force(name) == (2, 2) and stack.refused(name) == [], "its own past is no forgery"

    assert stack.rolled_back(name) == 3
    seen(lambda: stack.last(Promoted, name)[0] != unsigned[0])
    assert stack.last(Promoted, name)[1] == stack.first.key_id
    third = stack.last(Promoted, name)[0]
    stack.restart(**stack.settings("second"))
    seen(lambda: stack.last(Promoted, name) == (third, stack.second.key_id))
    (tmp_path / "trusted" / "first.pem").unlink()
    stack.restart(**stack.settings("second"))
    assert stack.in_force(name) == (3, 1) and stack.refused(name) == []
    assert stack.rolled_back(name) == 4
    seen(lambda: stack.last(Promoted, name)[0] != third)
    assert stack.last(Promoted, name)[1] == stack.second.key_id
    fourth = stack.last(Promoted, name)[0]

    event = stack.bus.events(Promoted.topic)[-1].data.model_copy(update={"epoch": 9, "model_version": 1})
    for keys in ((), (stack.first,), (stack.foreign,)):
        write(stack.bus, Promoted.topic, signed_by(event, *keys))
    end(gatekeepers.processes[-1])
    gatekeepers.database_url = f"sqlite:///{tmp_path / 'new.db'}"  # wiped
    stack.start(**stack.settings("second"))
    assert stack.in_force(name) == (4, 2), "only what a trusted key signed is its past"
    assert [row["evidence"]["event_id"] != fourth for row in stack.refused(name)].count(True) >= 3
    seen(lambda: stack.last(Promoted, name, stack.second) == (fourth, stack.second.key_id))
    stack.bus.close()
