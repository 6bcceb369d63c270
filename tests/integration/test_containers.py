"""The same services on containers of Kafka (an older one) and PostgreSQL, as others would run them."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.registry import Registry
from contracts import ModelRegistered, TrainingRequested
from support import docker_engine
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.trainers import Trainers
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

TRAINING_SECONDS = 120


@pytest.fixture(scope="module")
def bootstrap_servers() -> Iterator[str]:
    docker_engine.require()
    from testcontainers.community.kafka import KafkaContainer

    # As short as `support.crash` makes it, so that who died is soon known to be gone; a broker allows 6 s by default.
    container = KafkaContainer("confluentinc/cp-kafka:7.6.0").with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
    with container as broker:
        yield broker.get_bootstrap_server()


@pytest.fixture
def postgres() -> Iterator[tuple[str, str]]:
    """URL and container id."""
    docker_engine.require()
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer("postgres:17", driver="psycopg") as database:
        yield database.get_connection_url(), database.get_wrapped_container().id


@pytest.fixture
def trainers(
    bootstrap_servers: str, postgres: tuple[str, str], mlflow_server: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[Trainers]:
    service = Trainers(bootstrap_servers, topic_prefix, postgres[0], mlflow_server.uri, tmp_path)
    yield service
    service.stop()


@pytest.fixture
def bus(bootstrap_servers: str, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(bootstrap_servers, topic_prefix)
    yield client
    client.close()


def versions(bus: BusClient) -> Counter[tuple[str, int]]:
    return Counter((event.model_name, event.data.model_version) for event in bus.events(ModelRegistered.topic))


def test_a_trainer_that_dies_at_the_worst_moment_leaves_one_version_and_one_event(
    trainers: Trainers, bus: BusClient, mlflow_server: MlflowServer
) -> None:
    model = trainers.model("tiny", recipe="recipe")
    victim = trainers.start(dying_at="before_result")
    eventually(trainers.ready, timeout=90)
    bus.publish(TrainingRequested(model_name=model), times=3)
    eventually(lambda: victim.poll() == -signal.SIGKILL, timeout=TRAINING_SECONDS)
    trainers.start()
    eventually(lambda: versions(bus) == {(model, 1): 1}, timeout=TRAINING_SECONDS)
    assert len(Registry(mlflow_server.uri).versions(model)) == 1
    assert len(trainers.trained_by()) == 1


def test_a_database_that_freezes_in_the_middle_costs_time_and_nothing_else(
    trainers: Trainers, bus: BusClient, postgres: tuple[str, str]
) -> None:
    model = trainers.model("gated", recipe="gated")
    trainers.start()
    eventually(trainers.ready, timeout=90)
    bus.publish(TrainingRequested(model_name=model))
    eventually(trainers.trained_by, timeout=TRAINING_SECONDS)
    _, container = postgres
    subprocess.run(["docker", "pause", container], check=True, capture_output=True)
    try:
        trainers.gate.touch()
        bus.publish(TrainingRequested(model_name=model, window="w1"))
        eventually(lambda: not trainers.ready(), timeout=60)
    finally:
        subprocess.run(["docker", "unpause", container], check=True, capture_output=True)
    eventually(lambda: versions(bus) == {(model, 1): 1, (model, 2): 1}, timeout=TRAINING_SECONDS)
    eventually(trainers.ready, timeout=60)
