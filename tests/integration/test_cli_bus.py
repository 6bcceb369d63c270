"""`events tail` and `dead-letters` against the real broker, and a real service that gives up on messages."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from chassis.settings import KafkaSettings
from chassis.topics import DEAD_LETTERS, ensure_topics
from contracts import GatePassed, ModelRegistered, PredictionMade, Promoted, TrainingRequested
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.cli import gauntlet, ok
from support.processes import end, free_port, running, spawn
from support.signed_topics import signed_by, write, write_keys
from support.waiting import eventually

TESTS = Path(__file__).parents[1]
PROMOTED = Promoted.model_validate(
    {
        "model_name": "flights",
        "model_version": 2,
        "epoch": 5,
        "artifact_uri": "models:/flights/2",
        "artifact_digest": "sha256:0",
        "cause": "gate",
        "actor": "gatekeeper",
    }
)


@pytest.fixture(autouse=True)
def stack(kafka: EmbeddedKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person sets who works against a Kafka of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    ensure_topics(KafkaSettings())


@pytest.fixture
def bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()


def test_tail_shows_what_was_there_in_the_order_of_time(bus: BusClient) -> None:
    bus.publish(TrainingRequested(model_name="churn"))
    bus.publish(ModelRegistered(model_name="flights", model_version=2))
    bus.publish(PROMOTED)
    lines = ok("events", "tail", "--from-beginning", "--limit", "3").lines
    assert [line.split()[1] for line in lines] == ["TrainingRequested", "ModelRegistered", "Promoted"]
    assert "flights v2  epoch 5, by gate (gatekeeper)" in lines[2]


def test_decisions_are_verified_on_their_topic_and_in_an_exported_file(bus: BusClient, tmp_path: Path) -> None:
    ours, foreign = write_keys(tmp_path / "keys", "ours", "foreign").values()
    (tmp_path / "keys" / "trusted" / "foreign.pem").unlink()
    for epoch, keys in ((1, [ours]), (2, []), (2, [foreign]), (2, [ours])):
        write(bus, Promoted.topic, signed_by(PROMOTED.model_copy(update={"epoch": epoch}), *keys))
    options = ("--topic", "promoted", "--keys", "keys/trusted")
    ended = gauntlet("verify-topic", *options)
    assert ended.code == 1 and "flights: not signed" in ended.err and "flights: no trusted key" in ended.err
    live = gauntlet("verify-topic", *options, "--json").json
    [model] = live["models"]
    assert (model["signed"], model["unsigned"], model["wrong"], model["newest"]) == (2, 1, 1, 2)
    assert model["key_id"] == ours.key_id and model["problem"] is None
    places = [f"promoted:{record.partition}:{record.offset}" for record in bus.records(Promoted.topic)]
    assert [(bad["place"], bad["state"]) for bad in live["bad"]] == [(places[1], "unsigned"), (places[2], "wrong")]
    ok("verify-topic", *options, "--newest")

    ok("events", "export", "--topic", "promoted", "--output", "promoted.jsonl")
    assert gauntlet("verify-topic", *options, "--from", "promoted.jsonl", "--json").json == live


def test_tail_chooses_by_type_and_model(bus: BusClient) -> None:
    bus.publish(ModelRegistered(model_name="churn", model_version=1))
    bus.publish(PROMOTED)
    sent = bus.publish(ModelRegistered(model_name="flights", model_version=2))
    args = ("--from-beginning", "--limit", "1", "--type", "ModelRegistered", "--model", "flights", "--json")
    event = ok("events", "tail", *args).json
    assert event["id"] == sent.id
    assert event["data"]["model_version"] == 2
    assert event["topic"] == "model-registered"


def test_tail_shows_predictions_only_when_asked(bus: BusClient) -> None:
    prediction = {"model_name": "m", "request_id": "q", "features": {}, "champion": {"model_version": 1, "score": 0.5}}
    bus.publish(PredictionMade.model_validate({**prediction, "latency_ms": 1.0}))
    bus.publish(PROMOTED)
    assert "Promoted" in ok("events", "tail", "--from-beginning", "--limit", "1").out
    asked = ok("events", "tail", "--from-beginning", "--limit", "1", "--type", "PredictionMade")
    assert "0.5 in 1.0 ms, request q row 0" in asked.out


def test_tail_shows_what_cannot_be_decoded_as_such(bus: BusClient) -> None:
    headers = [("ce_type", b"gauntlet.Promoted.v1"), ("ce_id", b"0"), ("ce_source", b"x")]
    bus.raw("promoted", b"flights", b"\xff\xfe", headers)
    bus.raw("promoted", b"flights", b"{}", [("ce_type", b"gauntlet.Nothing.v9"), ("ce_id", b"1"), ("ce_source", b"x")])
    lines = ok("events", "tail", "--from-beginning", "--limit", "2").lines
    assert all("undecodable promoted:" in line for line in lines)
    assert any("unknown type 'gauntlet.Nothing.v9'" in line for line in lines)
    listed = ok("events", "tail", "--from-beginning", "--limit", "1", "--json").json
    assert "value is not JSON" in listed["error"]


def test_tail_follows_and_ends_silently_at_ctrl_c(bus: BusClient, tmp_path: Path) -> None:
    bus.publish(PROMOTED)  # was there before: not shown
    log = tmp_path / "tail.log"
    process = spawn([sys.executable, "-m", "gauntlet", "events", "tail", "--json"], {}, log)
    try:
        eventually(lambda: "Ctrl-C ends" in log.read_text())
        sent = bus.publish(ModelRegistered(model_name="flights", model_version=3))
        eventually(lambda: sent.id in log.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    finally:
        end(process)
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [event["type"] for event in events] == ["ModelRegistered"]
    assert "Traceback" not in log.read_text()


def test_a_prefix_without_topics_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPIC_PREFIX", "nobody.")
    for command in (("events", "tail"), ("dead-letters", "list")):
        ended = gauntlet(*command)
        assert ended.code == 1
        assert "nobody." in ended.err
        assert "TOPIC_PREFIX" in ended.err


def test_without_letters_the_list_says_so() -> None:
    assert ok("dead-letters", "list").out.strip() == "no dead letters"
    assert ok("dead-letters", "list", "--json").json == []
    assert ok("dead-letters", "replay", "--all").out.strip() == "no dead letters"
    missing = gauntlet("dead-letters", "show", "a:b:0:1")
    assert missing.code == 1
    assert "'a:b:0:1'" in missing.err


@pytest.fixture
def mood(tmp_path: Path, database_file: str) -> Iterator[Path]:
    """A running service that refuses the model `moody` while this file exists, and passes every other on."""
    file = tmp_path / "mood"
    file.touch()
    port = free_port()
    env = {"DATABASE_URL": database_file, "COUNTING_PORT": str(port), "MOOD": str(file), "PYTHONPATH": str(TESTS)}
    with running([sys.executable, "-m", "support.counting"], env, tmp_path / "counting.log"):
        eventually(lambda: ready(port))
        yield file


@pytest.fixture
def database_file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'counting.db'}"


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def effects(bus: BusClient) -> Counter[tuple[str, int]]:
    """What the service did: it emits GatePassed once it has handled a version."""
    return Counter((event.model_name, event.data.model_version) for event in bus.events(GatePassed.topic))


def letters(count: int, but: set[str] | None = None) -> list[dict[str, Any]]:
    """The dead letters, once there are `count`, none of them in `but`."""

    def there() -> tuple[list[dict[str, Any]]]:
        found = ok("dead-letters", "list", "--json").json
        assert len(found) == count, found
        assert not {letter["id"] for letter in found} & (but or set())
        return (found,)

    return eventually(there)[0]


def test_a_letter_is_listed_shown_and_replayed_to_its_effect(bus: BusClient, mood: Path) -> None:
    bus.publish(ModelRegistered(model_name="moody", model_version=13), event_id="thirteen")
    bus.publish(ModelRegistered(model_name="moody", model_version=14), event_id="fourteen")
    letter = next(x for x in letters(2) if "version 13" in x["error"])
    assert letter["id"].startswith("counting:model-registered:")
    assert letter["key"] == "moody"
    shown = ok("dead-letters", "show", letter["id"]).out
    assert "ce_id: thirteen" in shown
    assert '"model_version":13' in shown
    assert letter["id"] in ok("dead-letters", "list", "--service", "counting").out
    assert ok("dead-letters", "list", "--service", "other", "--json").json == []

    mood.unlink()
    assert ok("dead-letters", "replay", letter["id"]).out.strip() == f"replayed {letter['id']}"
    eventually(lambda: effects(bus)[("moody", 13)] == 1)
    assert "version 14" in letters(1)[0]["error"]
    first, again = (event for event in bus.events(ModelRegistered.topic) if event.id == "thirteen")
    assert first == again, "the original, to the last header"


def test_a_replay_of_what_was_handled_meanwhile_has_no_second_effect(bus: BusClient, mood: Path) -> None:
    bus.publish(ModelRegistered(model_name="moody", model_version=1), event_id="one")
    letter = letters(1)[0]
    mood.unlink()
    bus.publish(ModelRegistered(model_name="moody", model_version=1), event_id="one")
    eventually(lambda: effects(bus)[("moody", 1)] == 1)
    ok("dead-letters", "replay", letter["id"])
    bus.publish(ModelRegistered(model_name="moody", model_version=2))
    eventually(lambda: effects(bus)[("moody", 2)] == 1)
    assert effects(bus)[("moody", 1)] == 1


def test_bytes_and_key_can_be_mended_on_the_way(bus: BusClient, mood: Path, tmp_path: Path) -> None:
    bus.raw("model-registered", b"churn", b"\xffnot json")
    bus.raw("model-registered", None, b'{"model_name": "keyless", "model_version": 1}')
    broken, keyless = (next(x for x in letters(2) if x["key"] == key) for key in ("churn", None))
    assert ok("dead-letters", "show", broken["id"], "--json").json["value"] == "hex:ff6e6f74206a736f6e"
    better = tmp_path / "better.json"
    better.write_bytes(b'{"model_name": "churn", "model_version": 7}')
    ok("dead-letters", "replay", broken["id"], "--value", str(better))
    ok("dead-letters", "replay", keyless["id"], "--key", "keyless")
    eventually(lambda: effects(bus) == Counter({("churn", 7): 1, ("keyless", 1): 1}))
    letters(0)


def test_all_letters_are_replayed_and_those_that_still_fail_are_letters_again(bus: BusClient, mood: Path) -> None:
    for name in ("stubborn", "moody"):
        bus.publish(ModelRegistered(model_name=name, model_version=1))
    before = {letter["id"] for letter in letters(2)}
    assert len(ok("dead-letters", "replay", "--all", "--topic", "model-registered").lines) == 2
    after = letters(2, but=before)
    for letter in after:
        ok("dead-letters", "discard", letter["id"])
    letters(0)
    assert effects(bus) == Counter()


def test_a_header_without_a_value_is_shown_and_does_not_stop_a_replay(bus: BusClient, mood: Path) -> None:
    asyncio.run(_publish_with_a_null_header(bus))
    letter = letters(1)[0]
    shown = ok("dead-letters", "show", letter["id"])
    assert "nothing: –" in shown.out
    assert "binary: hex:ff" in shown.out
    mood.unlink()
    ok("dead-letters", "replay", letter["id"])
    eventually(lambda: effects(bus) == Counter({("moody", 5): 1}))


async def _publish_with_a_null_header(bus: BusClient) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bus.bootstrap_servers)
    await producer.start()
    try:
        value = b'{"model_name": "moody", "model_version": 5}'
        headers = [("nothing", None), ("binary", b"\xff")]
        await producer.send_and_wait(bus.prefix + "model-registered", value, key=b"moody", headers=headers)
    finally:
        await producer.stop()


def test_copies_of_a_letter_are_one_and_strangers_are_left_alone(bus: BusClient, mood: Path) -> None:
    bus.publish(ModelRegistered(model_name="moody", model_version=1))
    letter = letters(1)[0]
    record = next(found for found in bus.records(DEAD_LETTERS) if found.key.decode() == letter["id"])
    bus.raw(DEAD_LETTERS, record.key, record.value, record.headers)
    bus.raw(DEAD_LETTERS, b"stranger", b"no letter")
    assert len(letters(1)) == 1
    assert "is no dead letter of ours" in ok("dead-letters", "list").err
