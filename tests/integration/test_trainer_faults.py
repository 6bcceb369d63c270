"""Trainers that die, hang, lose MLflow or stand side by side: one version and one event a request, all the same."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chassis.registry import Registry
from contracts import ModelRegistered, TrainingFailed, TrainingRequested
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.databases import on_postgres, on_sqlite
from support.mlflow_server import MlflowServer
from support.processes import end
from support.trainers import Trainers
from support.waiting import eventually

TRAINING_SECONDS = 90


@pytest.fixture
def trainers(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str, database_url: str, tmp_path: Path
) -> Iterator[Trainers]:
    service = Trainers(kafka.bootstrap_servers, topic_prefix, database_url, mlflow_server.uri, tmp_path)
    yield service
    service.stop()


@pytest.fixture
def bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()


@pytest.fixture
def registry(mlflow_server: MlflowServer) -> Registry:
    return Registry(mlflow_server.uri)


def versions(bus: BusClient) -> Counter[tuple[str, int]]:
    """ModelRegistered events by model and version; a record that was published twice counts twice."""
    return Counter((event.model_name, event.data.model_version) for event in bus.events(ModelRegistered.topic))


def alive(pid: int) -> bool:
    """Whether it still runs; one that is dead and not yet waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@on_sqlite
def test_killed_in_training_another_trainer_takes_over(trainers: Trainers, bus: BusClient, registry: Registry) -> None:
    model = trainers.model("gated", recipe="gated")
    first = trainers.start(dying_at="from_outside")
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model), times=2)
    (pid,) = eventually(trainers.trained_by, timeout=TRAINING_SECONDS)
    first.kill()
    eventually(lambda: not alive(pid))  # a process without a lease must not go on
    trainers.start()
    eventually(lambda: len(trainers.trained_by()) == 2, timeout=TRAINING_SECONDS)
    trainers.gate.touch()
    eventually(lambda: versions(bus) == {(model, 1): 1}, timeout=TRAINING_SECONDS)
    assert len(registry.versions(model)) == 1


@on_postgres
def test_killed_after_registering_the_version_is_taken_up_and_told_once(
    trainers: Trainers, bus: BusClient, registry: Registry
) -> None:
    model = trainers.model("tiny", recipe="recipe")
    victim = trainers.start(dying_at="before_result")
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model), times=2)
    eventually(lambda: victim.poll() == -signal.SIGKILL, timeout=TRAINING_SECONDS)
    assert [version.version for version in registry.versions(model)] == [1]
    assert versions(bus) == Counter()
    trainers.start()
    eventually(lambda: versions(bus) == {(model, 1): 1}, timeout=TRAINING_SECONDS)
    assert len(registry.versions(model)) == 1
    assert len(trainers.trained_by()) == 1, "found by its tag, not trained again"
    event = bus.events(ModelRegistered.topic)[0].data
    assert event == ModelRegistered.model_validate_json(registry.run(event.run_id).data.tags["gauntlet.lineage"])


@on_sqlite
def test_a_trainer_that_hangs_past_its_lease_and_wakes_up_adds_nothing(
    trainers: Trainers, bus: BusClient, registry: Registry
) -> None:
    model = trainers.model("gated", recipe="gated")
    first = trainers.start(dying_at="from_outside")
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model))
    eventually(trainers.trained_by, timeout=TRAINING_SECONDS)
    first.send_signal(signal.SIGSTOP)  # its training process goes on
    trainers.start()
    eventually(lambda: len(trainers.trained_by()) == 2, timeout=TRAINING_SECONDS)
    trainers.gate.touch()  # both go for the registry at once
    eventually(lambda: versions(bus) == {(model, 1): 1}, timeout=TRAINING_SECONDS)
    first.send_signal(signal.SIGCONT)
    eventually(lambda: "result dropped" in trainers.log() or "lease lost" in trainers.log())
    for pid in trainers.trained_by():
        eventually(lambda pid=pid: not alive(pid))
    assert versions(bus) == {(model, 1): 1}
    assert [version.version for version in registry.versions(model)] == [1]


@on_postgres
def test_a_trainer_that_is_stopped_puts_its_job_back_and_does_not_fail_it(trainers: Trainers, bus: BusClient) -> None:
    model = trainers.model("gated", recipe="gated")
    first = trainers.start()
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model))
    (pid,) = eventually(trainers.trained_by, timeout=TRAINING_SECONDS)
    end(first)
    assert not alive(pid)
    trainers.gate.touch()
    trainers.start()
    eventually(lambda: versions(bus) == {(model, 1): 1}, timeout=TRAINING_SECONDS)
    assert not [event for event in bus.events(TrainingFailed.topic) if isinstance(event.data, TrainingFailed)]


@on_postgres
def test_two_trainers_train_each_request_once_and_one_outlives_the_other(
    trainers: Trainers, bus: BusClient, registry: Registry
) -> None:
    models = [trainers.model(f"m{number}", recipe="recipe") for number in range(3)]
    first = trainers.start(dying_at="from_outside")
    trainers.start()
    eventually(lambda: trainers.ready(0) and trainers.ready(1), timeout=60)
    for model in models:
        bus.publish(TrainingRequested(model_name=model, window="w1"), times=2)
    eventually(lambda: sum(versions(bus).values()) >= 1, timeout=TRAINING_SECONDS)
    first.kill()
    for model in models[:1]:
        bus.publish(TrainingRequested(model_name=model, window="w2"), times=2)
    expected = Counter([(model, 1) for model in models] + [(model, 2) for model in models[:1]])
    eventually(lambda: versions(bus) == expected, timeout=2 * TRAINING_SECONDS)
    for model in models:
        assert len(registry.versions(model)) == expected[model, 1] + expected[model, 2]


@on_sqlite
def test_mlflow_away_in_the_middle_costs_time_and_nothing_else(
    trainers: Trainers, bus: BusClient, registry: Registry, mlflow_server: MlflowServer
) -> None:
    model = trainers.model("gated", recipe="gated")
    service = trainers.start()
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model))
    eventually(trainers.trained_by, timeout=TRAINING_SECONDS)
    mlflow_server.stop()
    try:
        trainers.gate.touch()
        eventually(lambda: "goes back to the queue" in trainers.log(), timeout=60)
        bus.publish(TrainingRequested(model_name=model, window="w1"))
        eventually(lambda: not trainers.ready())
        (waiting, job) = trainers.jobs(model)
        assert (job["state"], waiting["state"]) == ("queued", "queued")
        assert "MLflow at" in job["message"]
    finally:
        mlflow_server.start()
    eventually(lambda: versions(bus) == {(model, 1): 1, (model, 2): 1}, timeout=TRAINING_SECONDS)
    windows = [event.data.training.window for event in bus.events(ModelRegistered.topic) if event.data.training]
    assert windows == ["w4..w5", "w1"], "in the order of the requests"
    assert len(trainers.trained_by()) == 2, "what was trained before MLflow went away was kept"
    assert service.poll() is None
    assert len(registry.versions(model)) == 2


@on_postgres
def test_a_training_that_takes_too_long_is_ended_and_has_failed(trainers: Trainers, bus: BusClient) -> None:
    model = trainers.model("gated", recipe="gated")
    trainers.start(TRAINER_TIMEOUT_SECONDS="5")
    eventually(trainers.ready, timeout=60)
    bus.publish(TrainingRequested(model_name=model))
    failed = eventually(
        lambda: [event for event in bus.events(TrainingFailed.topic) if isinstance(event.data, TrainingFailed)],
        timeout=60,
    )
    assert "took longer than 5 s (TRAINER_TIMEOUT_SECONDS)" in failed[0].data.reason
    assert not any(alive(pid) for pid in trainers.trained_by())
    assert trainers.jobs(model)[0]["state"] == "failed"
