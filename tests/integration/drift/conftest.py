"""One drift service a kind of database for the tests that can share it; a test has a model name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from contracts import Dataset
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.databases import DATABASES
from support.drift_bench import Bench
from support.drifting import POLICY, DriftService, customers, log_reference
from support.mlflow_server import MlflowServer
from support.shared_services import SharedServices

MOST_TESTS = 50
SHARED: SharedServices[DriftService] = SharedServices("drift")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    SHARED.end_after_last(Path(__file__).parent, nextitem)


@pytest.fixture(scope="session")
def reference(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return log_reference(mlflow_server.uri, customers(5000, 1), tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def drift_on(
    request: pytest.FixtureRequest,
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], DriftService]]:
    """The service on a kind of database, running since it was first wanted, with a policy for each of many models."""

    def make(url: str, folder: Path) -> DriftService:
        service = DriftService(kafka.bootstrap_servers, f"d{uuid4().hex[:8]}.", url, mlflow_server.uri, folder)
        service.names = [f"shop{number}-{uuid4().hex[:8]}" for number in range(MOST_TESTS)]
        for name in service.names:
            service.policy(POLICY, name)
        return service

    yield lambda kind: SHARED.on(kind, request, tmp_path_factory, make, DriftService.start_ready)
    SHARED.end()


@pytest.fixture(params=DATABASES)
def drift(request: pytest.FixtureRequest, drift_on: Callable[[str], DriftService]) -> DriftService:
    return drift_on(request.param)


@pytest.fixture
def shop(drift: DriftService) -> str:
    """A model that nothing was said of yet."""
    return drift.names.pop()


@pytest.fixture
def bus(drift: DriftService) -> Iterator[BusClient]:
    client = BusClient(drift.bootstrap_servers, drift.prefix)
    yield client
    client.close()


@pytest.fixture
def own_drift(
    kafka: EmbeddedKafka, topic_prefix: str, database_url: str, mlflow_server: MlflowServer, tmp_path: Path
) -> Iterator[DriftService]:
    """The test's own, on topics and a database of its own; it is not running yet."""
    service = DriftService(kafka.bootstrap_servers, topic_prefix, database_url, mlflow_server.uri, tmp_path)
    service.policy(POLICY)
    yield service
    service.stop()


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    """For tests of the handlers alone."""
    bench = Bench(database_url)
    yield bench
    bench.database.close()
