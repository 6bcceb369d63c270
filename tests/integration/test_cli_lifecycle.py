"""`register` and `train` against real Kafka, MLflow and trainer: what they publish, and what they refuse to publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient

from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from contracts import ModelRegistered, TrainingRequested
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.cli import gauntlet, ok
from support.mlflow_server import MlflowServer
from support.trainers import Trainers
from support.waiting import eventually


@pytest.fixture(autouse=True)
def here(
    kafka: EmbeddedKafka,
    topic_prefix: str,
    mlflow_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    ensure_topics(KafkaSettings())


@pytest.fixture
def bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()


@pytest.fixture
def trainers(
    kafka: EmbeddedKafka,
    topic_prefix: str,
    mlflow_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Trainers]:
    url = f"sqlite:///{tmp_path / 'trainer.db'}"
    services = Trainers(kafka.bootstrap_servers, topic_prefix, url, mlflow_server.uri, tmp_path / "trainers")
    yield services
    services.stop()


@pytest.fixture
def versions(mlflow_server: MlflowServer) -> str:
    """The name of a model with the versions 1 to 3 in MLflow."""
    client, name = MlflowClient(mlflow_server.uri), f"flights-{uuid4().hex[:6]}"
    client.create_registered_model(name)
    for _ in range(3):
        run = client.create_run("0").info.run_id
        client.create_model_version(name, source=f"runs:/{run}/model", run_id=run)
    return name


def test_register_publishes_the_version_with_its_run(
    versions: str, bus: BusClient, mlflow_server: MlflowServer
) -> None:
    said = ok("register", versions, "2", "--reason", "made by hand").out
    (envelope,) = bus.events(ModelRegistered.topic)
    assert f"registered {versions} v2 (event {envelope.id})" in said
    assert (envelope.source, envelope.data.model_name, envelope.data.model_version) == ("gauntlet-cli", versions, 2)
    assert envelope.data.run_id == MlflowClient(mlflow_server.uri).get_model_version(versions, "2").run_id
    assert envelope.data.trigger is not None
    assert (envelope.data.trigger.kind, envelope.data.trigger.reason) == ("manual", "made by hand")


def test_a_reference_is_logged_to_the_run_and_named_by_the_event(
    versions: str, bus: BusClient, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "trained.csv").write_text("age,plan\n" + "41,basic\n" * 300)
    ok("register", versions, "1", "--reference", "trained.csv")
    (named,) = bus.events(ModelRegistered.topic)
    reference, run_id = named.data.reference, named.data.run_id
    assert reference is not None and reference.rows == 300 and reference.uri.startswith(f"runs:/{run_id}/datasets/")
    ok("register", versions, "2", "--reference", reference.uri)
    assert bus.events(ModelRegistered.topic)[1].data.reference == reference
    for given, says in (("none.csv", "none.csv"), (f"runs:/{run_id}/none.parquet", "has no artifact 'none.parquet'")):
        ended = gauntlet("register", versions, "2", "--reference", given)
        assert ended.code == 1 and says in ended.err
    assert len(bus.events(ModelRegistered.topic)) == 2


def test_again_needs_a_reason_and_publishes_it(versions: str, bus: BusClient) -> None:
    refused = gauntlet("register", versions, "2", "--again")
    assert refused.code == 1 and "--reason" in refused.err
    assert bus.events(ModelRegistered.topic) == []
    ok("register", versions, "2", "--again", "--reason", "labels corrected")
    (envelope,) = bus.events(ModelRegistered.topic)
    assert envelope.data.trigger is not None
    assert (envelope.data.trigger.kind, envelope.data.trigger.reason) == ("again", "labels corrected")


def test_a_version_that_is_not_in_mlflow_is_not_published(versions: str, bus: BusClient) -> None:
    ended = gauntlet("register", versions, "9")
    assert ended.code == 1
    assert f"has no version 9 of '{versions}'" in ended.err
    assert "It has 1, 2, 3." in ended.err
    unknown = gauntlet("register", "nosuchmodel", "1")
    assert unknown.code == 1
    assert "has no model 'nosuchmodel'" in unknown.err
    assert bus.events(ModelRegistered.topic) == []


def test_a_tracking_uri_that_is_no_mlflow_is_said(versions: str, kafka: EmbeddedKafka, bus: BusClient) -> None:
    ended = gauntlet("register", versions, "1", "--mlflow", f"http://{kafka.bootstrap_servers}")
    assert ended.code == 1
    assert kafka.bootstrap_servers in ended.err
    assert bus.events(ModelRegistered.topic) == []


def test_a_url_that_is_another_service_is_said(mlflow_server: MlflowServer) -> None:
    ended = gauntlet("models", "--gatekeeper", mlflow_server.uri)
    assert ended.code == 1
    assert mlflow_server.uri in ended.err
    assert "gatekeeper" in ended.err


def test_train_publishes_what_was_asked_and_by_whom(bus: BusClient) -> None:
    said = ok("train", "flights", "--window", "2013-01..2013-02", "--reason", "first one", "--actor", "ann").out
    (envelope,) = bus.events(TrainingRequested.topic)
    assert f"requested flights (event {envelope.id})" in said
    assert envelope.data == TrainingRequested(
        model_name="flights", window="2013-01..2013-02", reason="first one", requested_by="ann"
    )


def test_an_earlier_run_must_be_there_to_be_registered_again(
    versions: str, bus: BusClient, mlflow_server: MlflowServer
) -> None:
    ended = gauntlet("train", versions, "--from-run", "nosuchrun")
    assert ended.code == 1
    assert "no run 'nosuchrun'" in ended.err
    assert bus.events(TrainingRequested.topic) == []
    run = MlflowClient(mlflow_server.uri).get_model_version(versions, "1").run_id
    ok("train", versions, "--from-run", run)
    assert bus.events(TrainingRequested.topic)[0].data.from_run == run


def test_wait_tells_the_reason_of_a_training_that_fails(trainers: Trainers, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trainers.model("raising", recipe="raising")
    trainers.start()
    eventually(trainers.ready, timeout=60)
    monkeypatch.setenv("TRAINER_URL", f"http://127.0.0.1:{trainers.ports[0]}")
    ended = gauntlet("train", model, "--window", "w1..w2", "--wait")
    assert ended.code == 1
    assert f"training {model} failed: " in ended.err
    assert "the moon is in the" in ended.err
    assert "/jobs/" in ended.err
    unknown = gauntlet("train", "nosuchmodel", "--wait")
    assert unknown.code == 1
    assert "no policy" in unknown.err


def test_wait_gives_up_at_its_deadline_and_says_for_what_it_waited(
    trainers: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trainers.model("gated", recipe="gated")
    trainers.start()
    eventually(trainers.ready, timeout=60)
    monkeypatch.setenv("TRAINER_URL", f"http://127.0.0.1:{trainers.ports[0]}")
    ended = gauntlet("train", model, "--window", "w1..w2", "--wait", "--timeout", "3")
    assert ended.code == 1
    assert "no end within 3 s: " in ended.err
    assert "What was published is kept" in ended.err
