"""One gatekeeper a database for all tests of a process; a test has a model name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import DATABASES
from support.gatekeepers import POLICY, TIMED, Gatekeepers, NameOf
from support.mlflow_server import MlflowServer
from support.shared_services import SharedServices

POLICIES: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (60, {}),
    "retained": (6, {"candidates": "retained"}),
    "timed": (12, {"gates": {**POLICY["gates"], **TIMED}}),
    "failing-fast": (1, {"gates": {**POLICY["gates"], **TIMED, "fail_fast": True}}),
    "pinned": (5, {"golden": {"dataset": "latest"}, "candidates": "newest"}),
    "held-out": (1, {"golden": {"window": "holdout"}, "candidates": "retained"}),
    "drifting": (
        2,
        {
            "golden": {"dataset": "latest"},
            "candidates": "retained",
        },
    ),
    "benchmarked": (
        4,
        {
            "candidates": "retained",
            "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.6}}},
            "benchmark": {"every": "7d", "tournament": True},
        },
    ),
}
"""How many models there are of each policy, for as many tests, and how it differs from the usual one."""


SHARED: SharedServices[Gatekeepers] = SharedServices("gatekeeper")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    SHARED.end_after_last(Path(__file__).parent, nextitem)


@pytest.fixture(scope="session")
def candidates(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    return Candidates(mlflow_server.uri, tmp_path_factory.mktemp("candidates"))


@pytest.fixture(scope="session")
def gatekeeper_on(
    request: pytest.FixtureRequest,
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Gatekeepers]]:
    """The gatekeeper on a kind of database, running since it was first wanted, with policies for many models."""

    def make(url: str, folder: Path) -> Gatekeepers:
        service = Gatekeepers(kafka.bootstrap_servers, f"g{uuid4().hex[:8]}.", url, mlflow_server.uri, folder)
        for policy, (number, changes) in POLICIES.items():
            service.names[policy] = [f"{policy}{each}-{uuid4().hex[:8]}" for each in range(number)]
            for name in service.names[policy]:
                service.policy(name, **changes)
        return service

    def start(service: Gatekeepers) -> None:
        service.start_ready(GATEKEEPER_RECONCILE_GRACE_SECONDS="3", GATEKEEPER_PROVES_FORM="true")

    yield lambda kind: SHARED.on(kind, request, tmp_path_factory, make, start)
    SHARED.end()


@pytest.fixture(params=DATABASES)
def gatekeeper(request: pytest.FixtureRequest, gatekeeper_on: Callable[[str], Gatekeepers]) -> Gatekeepers:
    return gatekeeper_on(request.param)


@pytest.fixture
def name_of(gatekeeper: Gatekeepers) -> NameOf:
    """Of a model that nobody has used, by the name of its policy."""
    return lambda policy: gatekeeper.names[policy].pop()


@pytest.fixture
def model_name(name_of: NameOf) -> str:
    return name_of("plain")


@pytest.fixture
def timed_model(name_of: NameOf) -> str:
    """With every gate that a policy has by itself."""
    return name_of("timed")


@pytest.fixture
def bus(gatekeeper: Gatekeepers) -> Iterator[BusClient]:
    client = BusClient(gatekeeper.bootstrap_servers, gatekeeper.prefix)
    yield client
    client.close()


@pytest.fixture
def gatekeepers(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str, database_url: str, tmp_path: Path
) -> Iterator[Gatekeepers]:
    """The test's own, on topics and a database of its own; none is running yet."""
    services = Gatekeepers(kafka.bootstrap_servers, topic_prefix, database_url, mlflow_server.uri, tmp_path)
    yield services
    services.stop()
