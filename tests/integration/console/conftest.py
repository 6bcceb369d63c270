"""One gatekeeper for the tests of the console's pages; a test has a model name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.gatekeepers import Gatekeepers
from support.mlflow_server import MlflowServer
from support.processes import free_port
from support.shared_services import SharedServices

MODELS = 40
SHARED: SharedServices[Gatekeepers] = SharedServices("console")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    SHARED.end_after_last(Path(__file__).parent, nextitem)


@pytest.fixture(scope="session")
def candidates(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    return Candidates(mlflow_server.uri, tmp_path_factory.mktemp("candidates"))


@pytest.fixture(scope="session")
def start_gatekeeper(
    request: pytest.FixtureRequest,
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Gatekeepers]]:
    def make(url: str, folder: Path) -> Gatekeepers:
        service = Gatekeepers(kafka.bootstrap_servers, f"c{uuid4().hex[:8]}.", url, mlflow_server.uri, folder)
        service.names["plain"] = [f"shop{number}-{uuid4().hex[:8]}" for number in range(MODELS)]
        for name in service.names["plain"]:
            service.policy(name)
        return service

    # Nothing listens there: the pages show these services as away.
    away = {name: f"http://127.0.0.1:{free_port()}" for name in ("DRIFT_URL", "SERVING_URL", "TRAINER_URL")}
    yield lambda: SHARED.on("sqlite", request, tmp_path_factory, make, lambda service: service.start_ready(**away))
    SHARED.end()


@pytest.fixture
def gatekeeper(start_gatekeeper: Callable[[], Gatekeepers]) -> Gatekeepers:
    return start_gatekeeper()


@pytest.fixture
def model_name(gatekeeper: Gatekeepers) -> str:
    """Of a model that nobody has used."""
    return gatekeeper.names["plain"].pop()


@pytest.fixture
def bus(gatekeeper: Gatekeepers) -> Iterator[BusClient]:
    client = BusClient(gatekeeper.bootstrap_servers, gatekeeper.prefix)
    yield client
    client.close()
