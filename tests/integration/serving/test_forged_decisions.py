"""A replica with trusted keys on topics to which somebody else writes, too: it serves what is signed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from contracts import GatePassed, Mode, Promoted, RolloutChanged
from contracts.cloudevents import Record
from integration.serving.conftest import StartReplica
from support.bus_client import BusClient
from support.forged import FIRST, Forgery, World, corpus
from support.replica import Replica
from support.versions import ROW, Uploads, score_of, telling_its_version
from support.waiting import eventually

SAMPLE = 400


def trusting(folder: Path, made: World) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "gatekeeper.pem").write_bytes(made.key.public_pem())
    return {"SERVING_TRUSTED_KEYS": str(folder)}


def write(bus: BusClient, records: Sequence[Record]) -> None:
    for record in records:
        bus.raw(record.topic, record.key, record.value, [(name, value or b"") for name, value in record.headers])


def sample(made: World, topics: Sequence[str]) -> list[Forgery]:
    """Some of every kind, which a client of Kafka can send, and which are refused for certain."""
    found = [
        each
        for each in corpus(made)
        if each.refused
        and each.record.key
        and each.record.topic in topics
        and all(value is not None for _, value in each.record.headers)
    ]
    by_kind = {each.kind: each for each in found}
    more = random.Random(2).sample(found, max(0, SAMPLE - len(by_kind)))
    return [*by_kind.values(), *more]


def in_force(replica: Replica) -> dict[str, Any]:
    names = ("model_version", "epoch", "artifact_digest", "desired_version", "desired_epoch", "rollout")
    about = replica.model(FIRST)
    rollout = about["rollout"] and {name: about["rollout"][name] for name in ("rollout_id", "step", "mode", "share")}
    return {name: about[name] for name in names} | {"rollout": rollout}


def refused(replica: Replica) -> float:
    return replica.metric("gauntlet_events_refused_total")


@pytest.mark.parametrize("role", ["production", "staging"])
def test_hundreds_of_forged_decisions_change_nothing_and_genuine_ones_between_them_do(
    new_replica: StartReplica, uploads: Uploads, tmp_path: Path, role: str
) -> None:
    made = World()
    workers = {"SERVING_WORKERS": "2"} if role == "production" else {}
    replica = new_replica(role=role, env=trusting(tmp_path / "trusted", made) | workers)
    bus = BusClient(replica.bootstrap_servers, replica.prefix)
    versions = [uploads.version(FIRST, number, telling_its_version(number)) for number in (1, 2, 3)]
    first, second, tried = versions
    topics = {"production": (Promoted.topic, RolloutChanged.topic), "staging": (Promoted.topic, GatePassed.topic)}[role]
    try:
        bus.ensure_topics()
        made.publish(first.gate_passed(), older=True)
        made.publish(first.promoted(1), older=True)
        made.publish(tried.rollout(1, champion_epoch=2, mode=Mode.SHADOW), older=True)
        made.publish(tried.rollout(2, champion_epoch=2, mode=Mode.SPLIT, share=0.0))
        made.publish(second.gate_passed())
        made.publish(second.promoted(2))
        write(bus, made.history)
        replica.start_ready()
        number = 2
        if role == "production":
            eventually(lambda: replica.tries(FIRST, 3, 2))
        forgeries = sample(made, topics)
        count = len(made.superseded)  # those of the history are no refusals
        expected = refused(replica)
        for begin in range(0, len(forgeries), 100):
            before = in_force(replica)
            for forgery in forgeries[begin : begin + 100]:
                write(bus, [forgery.record])
                expected += 2 if workers else 1
                answer = replica.predict(ROW, model=FIRST)
                assert answer.status_code == 200, answer.text
                assert answer.json()["predictions"][0]["score"] == pytest.approx(score_of(before["model_version"]))
            eventually(lambda: refused(replica) == expected)  # noqa: B023
            assert in_force(replica) == before
            number += 1
            of = versions[(number + 1) % 2]
            write(bus, [made.signed(of.promoted(number), minutes=100 + number)])
            eventually(lambda: replica.model(FIRST)["model_version"] == of.model_version)  # noqa: B023
        assert count and number > 5
        shown = replica.client.get("/ready").json()["decisions"]
        assert shown["keys"] == [made.key.key_id] and shown["problems"] == [] and shown["refused"] >= SAMPLE - 1
        assert replica.model(FIRST)["refused"]["count"] > 0
        assert "event not believed" in replica.log.read_text()
    finally:
        bus.close()


def test_a_topic_that_was_overwritten_with_a_signed_decision_of_before_takes_no_replica_back(
    new_replica: StartReplica, uploads: Uploads, tmp_path: Path
) -> None:
    made = World()
    replica = new_replica(env=trusting(tmp_path / "trusted", made))
    bus = BusClient(replica.bootstrap_servers, replica.prefix)
    first, second = (uploads.version(FIRST, number, telling_its_version(number)) for number in (1, 2))
    try:
        bus.ensure_topics()
        old, newest = made.signed(first.promoted(1), minutes=1), made.signed(second.promoted(2), minutes=2)
        write(bus, [old, newest])
        replica.start_ready()
        assert replica.answers_with(FIRST, 2, 2)
        replica.stop()
        admin = KafkaAdminClient(bootstrap_servers=replica.bootstrap_servers)
        admin.delete_topics([replica.prefix + Promoted.topic])
        eventually(lambda: replica.prefix + Promoted.topic not in admin.list_topics())
        admin.close()
        bus.ensure_topics()
        write(bus, [old])  # as compaction leaves it
        replica.start_ready()
        assert replica.answers_with(FIRST, 2, 2)
        assert replica.predict(ROW, model=FIRST).json()["predictions"][0]["score"] == pytest.approx(score_of(2))
        assert "epoch 1 of" in replica.model(FIRST)["topic_behind"][Promoted.topic]
        assert FIRST in replica.client.get("/ready").json()["decisions"]["topic_behind"]
        assert replica.metric("gauntlet_serving_topic_behind") == 1
        write(bus, [newest])  # the gatekeeper publishes it again
        eventually(lambda: replica.model(FIRST)["topic_behind"] is None)
        fresh = new_replica("fresh", env=trusting(tmp_path / "trusted", made))
        fresh.start_ready()
        assert fresh.answers_with(FIRST, 2, 2)
    finally:
        bus.close()
