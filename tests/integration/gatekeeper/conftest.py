"""One gatekeeper a database for all tests of a process; a test has a model name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import DATABASES
from support.gatekeepers import POLICY, Gatekeepers, NameOf
from support.mlflow_server import MlflowServer

POLICIES: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (60, {}),
    "retained": (6, {"candidates": "retained"}),
    "failing-fast": (1, {"gates": {**POLICY["gates"], "fail_fast": True}}),
    "pinned": (4, {"golden": {"dataset": "latest"}, "candidates": "newest"}),
    "held-out": (1, {"golden": {"window": "holdout"}, "candidates": "retained"}),
    "drifting": (
        2,
        {
            "golden": {"dataset": "latest"},
            "candidates": "retained",
            "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.6}}},
        },
    ),
}
"""How many models there are of each policy, for as many tests, and how it differs from the usual one."""


RUNNING: dict[str, Gatekeepers] = {}
"""What tests share, by kind of database."""


def end_shared_services() -> None:
    while RUNNING:
        RUNNING.popitem()[1].stop()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """After the last test of this folder: a service that nobody needs any more still polls its broker and database."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        end_shared_services()


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
    """The gatekeeper on a kind of database, running since it was first wanted, with a policy for each of many models.

    It is no parametrised fixture: pytest would end and start it again in every file.
    """

    def on(kind: str) -> Gatekeepers:
        if kind not in RUNNING:
            folder = tmp_path_factory.mktemp(f"gatekeeper-{kind}")
            url = f"sqlite:///{folder / 'test.db'}"
            if kind == "postgres":
                url = request.getfixturevalue("postgres").new_database()
            service = Gatekeepers(kafka.bootstrap_servers, f"g{uuid4().hex[:8]}.", url, mlflow_server.uri, folder)
            RUNNING[kind] = service
            for policy, (number, changes) in POLICIES.items():
                service.names[policy] = [f"{policy}{each}-{uuid4().hex[:8]}" for each in range(number)]
                for name in service.names[policy]:
                    service.policy(name, **changes)
            service.start_ready(GATEKEEPER_RECONCILE_GRACE_SECONDS="3", GATEKEEPER_PROVES_FORM="true")
        return RUNNING[kind]

    yield on
    end_shared_services()


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


@pytest.fixture
def own_bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    """On the topics of `gatekeepers`, which are there already."""
    ensure_topics(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix))
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()
