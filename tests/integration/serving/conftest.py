"""One production replica for all serving tests of a process; a test has model names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads

StartReplica = Callable[..., Replica]


@pytest.fixture(scope="session")
def uploads(mlflow_server: MlflowServer) -> Uploads:
    return Uploads(mlflow_server.uri)


@pytest.fixture(scope="session")
def production(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("production")
    replica = Replica(kafka.bootstrap_servers, f"s{uuid4().hex[:8]}.", mlflow_server.uri, folder)
    replica.start_ready()
    yield replica
    replica.stop()


@pytest.fixture(scope="session")
def bus(production: Replica) -> Iterator[BusClient]:
    client = BusClient(production.bootstrap_servers, production.prefix)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


@pytest.fixture
def new_replica(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[StartReplica]:
    """Makes replicas on topics of the test's own, not started yet."""
    made: list[Replica] = []

    def make(folder: str = "replica", **options: Any) -> Replica:
        where = {"bootstrap_servers": kafka.bootstrap_servers, "tracking_uri": mlflow_server.uri, **options}
        replica = Replica(prefix=topic_prefix, folder=tmp_path / folder, **where)
        made.append(replica)
        return replica

    yield make
    for replica in made:
        replica.stop()
