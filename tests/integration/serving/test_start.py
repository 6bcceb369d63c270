"""A replica comes up right: with nothing, with 10,000 promotions, from its disk alone, and in staging."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from kafka import KafkaProducer

from contracts import ModelLoaded, ModelLoadFailed, Promoted, new_envelope
from contracts.cloudevents import encode
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.processes import free_port
from support.replica import Replica
from support.versions import ROW, Uploads, Version, score_of
from support.waiting import eventually

MODELS, EPOCHS = 50, 200
StartReplica = Callable[..., Replica]


def publish_all(bus: BusClient, events: list[Promoted]) -> None:
    """Many at once: a request for each would take longer than the test."""
    producer = KafkaProducer(bootstrap_servers=bus.bootstrap_servers, acks="all", linger_ms=20)
    for event in events:
        key, value, headers = encode(new_envelope(event, source="test"))
        producer.send(bus.prefix + event.topic, key=key, value=value, headers=headers)
    producer.flush(60)
    producer.close()


def test_a_replica_without_models_is_ready_and_says_so(new_replica: StartReplica) -> None:
    replica = new_replica()
    replica.start_ready()
    any_model, one_model = replica.predict(ROW), replica.predict(ROW, model="flights")
    assert any_model.status_code == 503 and "no model was promoted yet" in any_model.json()["detail"]
    assert "Retry-After" in any_model.headers
    assert one_model.status_code == 404 and '"flights"' in one_model.json()["detail"]
    assert replica.client.get("/models").json()["models"] == []
    replica.stop()
    assert "Traceback" not in replica.log.read_text()


def test_until_it_knows_what_was_promoted_every_protocol_says_try_again(new_replica: StartReplica) -> None:
    """A client that is told 404 does not try again; a model that it names may be promoted all the same."""
    replica = new_replica(bootstrap_servers=f"127.0.0.1:{free_port()}")
    replica.start()
    eventually(replica.alive)
    rows = {"dataframe_records": [ROW]}
    inputs = {"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    truth = {"items": [{"request_id": "a", "label": 1}]}
    answers = [
        replica.predict(ROW),
        replica.predict(ROW, model="flights"),
        replica.client.post("/invocations", json=rows),
        replica.client.post("/models/flights/invocations", json=rows),
        replica.client.post("/v2/models/flights/infer", json=inputs),
        replica.client.post("/v2/models/flights/versions/1/infer", json=inputs),
        replica.client.get("/v2/models/flights"),
        replica.client.get("/v2/models/flights/ready"),
        replica.client.post("/feedback", json=truth),
        replica.client.post("/models/flights/feedback", json=truth),
    ]
    assert [answer.status_code for answer in answers] == [503] * len(answers)
    assert all(answer.headers["Retry-After"] and "still reads what was promoted" in answer.text for answer in answers)
    assert not replica.ready()


def test_ten_thousand_promotions_of_fifty_models_come_up_with_the_newest_epoch_of_each(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    versions = [uploads.version("any", number) for number in range(1, 6)]
    newest = {f"model-{number:02}": versions[number % 5] for number in range(MODELS)}

    def version_of(model_name: str, epoch: int) -> Promoted:
        version = newest[model_name] if epoch == EPOCHS else versions[epoch % 5]
        return dataclasses.replace(version, model_name=model_name).promoted(epoch)

    publish_all(own_bus, [version_of(name, epoch) for epoch in range(1, EPOCHS + 1) for name in newest])
    replica = new_replica()
    replica.start()
    eventually(replica.alive)
    statuses = set()
    while not replica.ready():
        statuses.add(replica.predict(ROW, model="model-07").status_code)
    assert statuses <= {503, 200}, "never a 404 for a model that was promoted long ago"
    models = replica.client.get("/models").json()["models"]
    assert {about["model_name"]: (about["model_version"], about["epoch"]) for about in models} == {
        name: (version.model_version, EPOCHS) for name, version in newest.items()
    }
    for name, version in newest.items():
        prediction = replica.predict(ROW, model=name).json()["predictions"][0]
        assert prediction["score"] == score_of(version.model_version)
    assert replica.metric("gauntlet_serving_swaps_total") == MODELS, "no version but the newest was ever loaded"
    vague = replica.predict(ROW)
    assert vague.status_code == 422 and "model is missing" in vague.json()["detail"]
    named = replica.client.post("/predict", json={"model": "model-07", "rows": [ROW]})
    assert named.json()["model_name"] == "model-07"


def test_of_two_promotions_with_one_epoch_the_later_answers_now_and_after_a_restart(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    """Compaction keeps the last record of a model: every start knows only that one."""
    first, second = (uploads.version("flights", number) for number in (1, 2))
    replica = new_replica()
    replica.start_ready()
    own_bus.publish(first.promoted(3))
    eventually(lambda: replica.answers_with("flights", 1, 3))
    own_bus.publish(second.promoted(3))
    eventually(lambda: replica.answers_with("flights", 2, 3))
    own_bus.publish(first.promoted(2))
    beyond = first.promoted(4).model_copy(update={"epoch": 2**31})
    own_bus.publish(beyond)
    own_bus.publish(dataclasses.replace(first, model_name="last").promoted(1))
    eventually(lambda: replica.answers_with("last", 1, 1))
    assert replica.answers_with("flights", 2, 3), "neither a lower epoch nor one that no database can store"
    replica.stop()
    replica.start_ready()
    assert replica.answers_with("flights", 2, 3)


def test_a_replica_serves_from_its_disk_while_the_registry_is_down_and_catches_up_afterwards(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, mlflow_server: MlflowServer
) -> None:
    replica = new_replica(env={"SERVING_RETRY_LIMIT_SECONDS": "1"})
    replica.start_ready()
    first, second, third = (uploads.version("flights", number) for number in (1, 2, 3))
    own_bus.publish(first.promoted(1))
    eventually(lambda: replica.answers_with("flights", 1, 1))
    replica.stop()

    mlflow_server.stop()
    try:
        replica.start_ready()
        assert replica.predict(ROW).json()["predictions"] == [{"score": score_of(1), "label": 0}]
        own_bus.publish(second.promoted(2))
        eventually(lambda: (replica.model("flights")["last_failure"] or {}).get("attempts", 0) >= 3)
        failure = replica.model("flights")["last_failure"]
        assert failure["will_retry"] is True and "MLflow at" in failure["reason"]
        assert replica.predict(ROW).json()["model_version"] == 1, "the old version goes on answering"
        own_bus.publish(third.promoted(3))
        eventually(lambda: (replica.model("flights")["last_failure"] or {}).get("epoch") == 3)
    finally:
        mlflow_server.start()
    eventually(lambda: replica.answers_with("flights", 3, 3))
    reports = [item.data for item in own_bus.events("serving-status")]
    assert [(type(event), event.epoch) for event in reports] == [
        (ModelLoaded, 1),
        (ModelLoaded, 1),
        (ModelLoadFailed, 2),  # once, however often it was tried
        (ModelLoadFailed, 3),
        (ModelLoaded, 3),  # and never 2: the newer one took its place
    ]


def test_a_corrupt_cache_entry_is_fetched_again(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    replica = new_replica()
    replica.start_ready()
    version = uploads.version("flights", 7)
    own_bus.publish(version.promoted(1))
    eventually(lambda: replica.answers_with("flights", 7, 1))
    replica.kill()
    (pickle,) = (replica.folder / "serving" / "cache").glob("*/model.pkl")
    pickle.write_bytes(b"harmful" + pickle.read_bytes())
    replica.start_ready()
    assert replica.predict(ROW).json()["predictions"][0]["score"] == score_of(7)
    assert "corrupt on disk" in replica.log.read_text()
    assert not pickle.read_bytes().startswith(b"harmful")


def test_a_replica_is_not_ready_before_its_models_are_loaded_and_says_which(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    version = uploads.version("flights", 1)
    broken = dataclasses.replace(version, model_name="broken", digest="sha256:" + "0" * 64)
    for event in (version.promoted(1), broken.promoted(1)):
        own_bus.publish(event)
    offline = new_replica("offline", tracking_uri="http://127.0.0.1:9")
    offline.start()
    eventually(offline.alive, timeout=90)
    eventually(lambda: "flights version 1" in offline.not_ready_because())
    eventually(lambda: "http://127.0.0.1:9" in offline.not_ready_because())  # once the first try has failed
    answer = offline.predict(ROW, model="flights")
    assert answer.status_code == 503 and "MLflow at" in answer.json()["detail"]

    online = new_replica("online")
    online.start_ready()  # what can never be loaded does not keep the others from being served
    assert online.model("flights")["model_version"] == 1
    assert online.model("broken")["last_failure"]["will_retry"] is False


def test_after_a_rollback_staging_has_no_challenger_that_passed_before(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    """It has the champion until another version passes; also after a restart, in whatever order the topics are read."""
    replica = new_replica(role="staging")
    replica.start_ready()
    versions = {number: uploads.version("flights", number) for number in (1, 2, 3)}
    for number in (1, 2):
        own_bus.publish(versions[number].gate_passed())
        own_bus.publish(versions[number].promoted(number))
        eventually(lambda: replica.answers_with("flights", number))  # noqa: B023
    own_bus.publish(versions[1].promoted(3))  # back from v2
    eventually(lambda: replica.answers_with("flights", 1))
    replica.stop()
    replica.start_ready()
    assert replica.model("flights")["model_version"] == 1
    own_bus.publish(versions[3].gate_passed())
    eventually(lambda: replica.answers_with("flights", 3))
    assert replica.model("flights")["epoch"] is None


def test_staging_answers_with_the_challenger_that_passed_last(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    replica = new_replica(role="staging")
    replica.start_ready()
    versions = {number: uploads.version("flights", number) for number in (1, 2, 3)}
    for number in (1, 3, 3, 2):
        own_bus.publish(versions[number].gate_passed())
        eventually(lambda: replica.answers_with("flights", number))  # noqa: B023
    about = replica.model("flights")
    assert (about["role"], about["alias"], about["epoch"]) == ("staging", "challenger", None)
    assert replica.predict(ROW).json()["epoch"] is None
    loaded = eventually(lambda: len(own_bus.events("serving-status")) >= 3 and own_bus.events("serving-status"))
    assert [(item.data.model_version, item.data.epoch, item.data.role) for item in loaded] == [
        (1, None, "staging"),
        (3, None, "staging"),
        (2, None, "staging"),
    ]
    own_bus.publish(
        Version("undigested", 1, "runs:/x/y", "").gate_passed().model_copy(update={"artifact_digest": None})
    )
    eventually(lambda: "digest ''" in (replica.model("undigested").get("last_failure") or {}).get("reason", ""))
    replica.stop()
    replica.start_ready()
    assert replica.model("flights")["model_version"] == 2
