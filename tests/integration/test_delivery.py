"""The delivery promises, against a real broker and both databases: effect once, in order, nothing lost."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from contracts import GatePassed, GroundTruthReceived, ModelRegistered
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.counters import Counting
from support.databases import on_postgres, on_sqlite, taking_turns
from support.processes import end, kill
from support.waiting import eventually


@pytest.fixture
def counting(kafka: EmbeddedKafka, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Counting]:
    service = Counting(kafka, topic_prefix, database_url, tmp_path)
    yield service
    service.stop()


@pytest.fixture
def bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()


def once_each(models: int, versions: int) -> Counter[tuple[str, str, int]]:
    return Counter(
        (kind, f"m{model}", version)
        for kind in ("handled", "worked")
        for model in range(models)
        for version in range(1, versions + 1)
    )


def passed_ids(bus: BusClient) -> set[str]:
    return {event.data.candidate_id for event in bus.events(GatePassed.topic)}


@taking_turns("point", "before_transaction", "before_commit", "before_mark", "before_result")
def test_a_service_killed_at_any_point_has_each_effect_once(counting: Counting, bus: BusClient, point: str) -> None:
    victim = counting.start(dying_at=point)
    eventually(counting.ready)
    for version in (1, 2, 3):
        for model in range(3):
            bus.publish(ModelRegistered(model_name=f"m{model}", model_version=version), times=2)
    eventually(lambda: victim.poll() == -9)
    counting.start()
    eventually(lambda: counting.effects() == once_each(3, 3), timeout=60)
    expected = {f"m{model}-{version}" for model in range(3) for version in (1, 2, 3)}
    eventually(lambda: passed_ids(bus) == expected)
    assert counting.order("m1") == [1, 2, 3]
    if point != "before_mark":  # there the broker had it already: the copy carries the same id, and readers know it
        assert len(bus.records(GatePassed.topic)) == len(expected)
    assert len({(event.source, event.id) for event in bus.events(GatePassed.topic)}) == len(expected)


@on_postgres
def test_a_replay_from_offset_zero_changes_nothing(counting: Counting, bus: BusClient) -> None:
    first = counting.start()
    eventually(counting.ready)
    for version in (1, 2):
        bus.publish(ModelRegistered(model_name="m0", model_version=version))
    eventually(lambda: counting.effects() == once_each(1, 2))
    end(first)
    rewind(counting, bus)
    counting.start()
    bus.publish(ModelRegistered(model_name="m0", model_version=3))
    eventually(lambda: counting.effects()["worked", "m0", 3] == 1)
    assert counting.effects() == once_each(1, 3)


@on_sqlite
def test_poison_is_kept_with_its_reason_and_the_next_message_is_handled(counting: Counting, bus: BusClient) -> None:
    counting.start()
    eventually(counting.ready)
    topic = ModelRegistered.topic
    good = b'{"model_name": "m0", "model_version": 1}'
    typed = [("ce_id", b"1"), ("ce_source", b"test"), ("ce_type", ModelRegistered.type.encode())]
    bus.raw(topic, b"m0", b"\xff\xfe\x00 not JSON")
    bus.raw(topic, b"m0", b'{"model_name": "m0", "model_version": "seven"}')
    bus.raw(topic, b"m0", good, [("ce_id", b"2"), ("ce_source", b"test"), ("ce_type", b"gauntlet.Unheard.v1")])
    bus.raw(topic, None, good)
    bus.raw(topic, b"m0", b'{"x": "' + b"y" * 2_000_000 + b'"}')
    bus.raw(topic, b"other", good)
    bus.raw(topic, b"m0", None)
    bus.raw(topic, b"m0", good, [("ce_id", b"\xff"), *typed[1:]])
    bus.publish(ModelRegistered(model_name="m0", model_version=1))
    eventually(lambda: counting.effects() == once_each(1, 1))
    letters = eventually(lambda: found if len(found := bus.dead_letters()) == 8 else None)
    reasons = sorted(letter.error for letter in letters.values())
    for expected in ("not JSON", "model_version", "unknown type", "missing key", "2,000,009 bytes", "differs from",
                     "tombstone", "not UTF-8"):  # fmt: skip
        assert any(expected in reason for reason in reasons), (expected, reasons)
    big = next(letter for letter in letters.values() if "bytes is over" in letter.error)
    assert big.value is not None
    assert len(big.value) == 2_000_009
    assert big.key == b"m0"


@on_postgres
def test_a_dead_letter_has_its_effect_when_it_is_replayed_after_a_fix(counting: Counting, bus: BusClient) -> None:
    mood = counting.folder / "mood"
    mood.touch()
    counting.start()
    eventually(counting.ready)
    bus.publish(ModelRegistered(model_name="moody", model_version=1))
    bus.publish(ModelRegistered(model_name="moody", model_version=2))
    letters = eventually(lambda: found if len(found := bus.dead_letters()) == 2 else None)
    assert all("in no mood" in letter.error for letter in letters.values())
    mood.unlink()
    for letter in letters.values():
        bus.raw(letter.topic, letter.key, letter.value, [(k, v) for k, v in letter.headers if v is not None])
    eventually(lambda: counting.effects()["worked", "moody", 1] + counting.effects()["worked", "moody", 2] == 2)


def test_one_bad_row_of_a_batch_does_not_cost_the_others(counting: Counting, bus: BusClient) -> None:
    counting.start()
    eventually(counting.ready)
    for number in range(50):
        bus.publish(GroundTruthReceived(model_name="m0", request_id=f"r{number}", label=1), times=2)
    bus.publish(GroundTruthReceived(model_name="m0", request_id="stubborn", label=1))
    bus.raw(GroundTruthReceived.topic, b"m0", b"{")
    bus.publish(GroundTruthReceived(model_name="m0", request_id="last", label=1))
    eventually(lambda: len(counting.rows("SELECT request_id FROM labels")) == 51)
    letters = eventually(lambda: found if len(found := bus.dead_letters()) == 2 else None)
    assert {letter.error.split(":")[0] for letter in letters.values()} == {"Permanent", "Malformed"}


def test_two_replicas_share_the_work_and_one_takes_over_from_the_other(counting: Counting, bus: BusClient) -> None:
    first = counting.start(dying_at="from_outside")
    eventually(counting.ready)
    counting.start()
    eventually(counting.ready)
    for version in (1, 2, 3):
        for model in range(6):
            bus.publish(ModelRegistered(model_name=f"m{model}", model_version=version), times=2)
        if version == 2:
            kill(first)
    eventually(lambda: counting.effects() == once_each(6, 3), timeout=60)
    for model in range(6):
        assert counting.order(f"m{model}") == [1, 2, 3]


@on_postgres
def test_a_rebalance_waits_for_the_message_in_hand(counting: Counting, bus: BusClient) -> None:
    counting.start()
    eventually(counting.ready)
    for version in (1, 2):
        bus.publish(ModelRegistered(model_name="slow", model_version=version))
    eventually(lambda: "slow begins" in counting.log())
    counting.start()  # joins the group while the handler runs
    eventually(counting.ready)
    eventually(lambda: counting.effects()["worked", "slow", 2] == 1)
    assert counting.order("slow") == [1, 2]
    assert counting.log().count("slow begins") == 2, "neither replica began a message that the other had in hand"


@on_sqlite
def test_a_broker_that_goes_away_and_comes_back_loses_nothing(
    tmp_path: Path, topic_prefix: str, database_url: str
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        counting = Counting(broker, topic_prefix, database_url, tmp_path)
        bus = BusClient(broker.bootstrap_servers, topic_prefix)
        try:
            process = counting.start()
            eventually(counting.ready)
            bus.publish(ModelRegistered(model_name="m0", model_version=1))
            eventually(lambda: counting.effects() == once_each(1, 1))
            broker.stop()
            eventually(lambda: not counting.ready())
            broker.start()
            bus.publish(ModelRegistered(model_name="m0", model_version=2))
            eventually(lambda: counting.effects() == once_each(1, 2), timeout=60)
            eventually(lambda: passed_ids(bus) == {"m0-1", "m0-2"}, timeout=60)
            assert process.poll() is None, "no crash loop: the same process goes on"
        finally:
            bus.close()
            counting.stop()


def test_a_locked_database_delays_and_loses_nothing(
    kafka: EmbeddedKafka, topic_prefix: str, bus: BusClient, tmp_path: Path
) -> None:
    counting = Counting(kafka, topic_prefix, f"sqlite:///{tmp_path / 'locked.db'}", tmp_path)
    try:
        counting.start()
        eventually(counting.ready)
        engine = sqlalchemy.create_engine(counting.database_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            bus.publish(ModelRegistered(model_name="m0", model_version=1))
            eventually(lambda: "database is locked" in counting.log())
            connection.exec_driver_sql("ROLLBACK")
        engine.dispose()
        eventually(lambda: counting.effects() == once_each(1, 1))
    finally:
        counting.stop()


def rewind(counting: Counting, bus: BusClient) -> None:
    """Set the group back to offset zero, as an operator would."""
    from kafka import KafkaConsumer, TopicPartition
    from kafka.structs import OffsetAndMetadata

    topic = counting.prefix + ModelRegistered.topic
    consumer = KafkaConsumer(
        bootstrap_servers=bus.bootstrap_servers,
        group_id=f"{counting.prefix}counting.{ModelRegistered.topic}",
        enable_auto_commit=False,
    )
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    consumer.commit({partition: OffsetAndMetadata(0, "", -1) for partition in partitions})
    consumer.close()


@on_sqlite
def test_events_of_another_sdk_have_their_effect(counting: Counting, bus: BusClient) -> None:
    """Structured and binary mode, as they arrive from a real broker."""
    counting.start()
    eventually(counting.ready)
    data = '{"model_name": "m0", "model_version": %d, "metrics": null}'
    attributes = '"specversion": "1.0", "id": "%s", "source": "/crm", "type": "gauntlet.ModelRegistered.v1"'
    mode = [("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8")]
    bus.raw("model-registered", b"m0", f'{{{attributes % "a"}, "data": {data % 1}}}'.encode(), mode)
    encoded = b64encode((data % 2).encode()).decode()
    bus.raw("model-registered", b"m0", f'{{{attributes % "b"}, "data_base64": "{encoded}"}}'.encode(), mode)
    headers = {"ce_specversion": "1.0", "ce_id": "c", "ce_source": "/crm", "ce_type": "gauntlet.ModelRegistered.v1"}
    headers |= {"ce_time": "2026-01-02t03:04:05z"}
    own = [(name, value.encode()) for name, value in headers.items()]
    for _ in range(2):
        bus.raw("model-registered", b"m0", b"\xef\xbb\xbf" + (data % 3).encode(), own)
    eventually(lambda: counting.effects() == once_each(1, 3))
    assert counting.order("m0") == [1, 2, 3] and bus.dead_letters() == {}
