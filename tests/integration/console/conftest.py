"""One gatekeeper for the tests of the console's pages, and one with tokens; a test has a model name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token
from contracts import ModelRegistered
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.candidates import Candidates
from support.consoles import Secured, World, waits_for_people
from support.gatekeepers import Gatekeepers, NameOf
from support.mlflow_server import MlflowServer
from support.processes import free_port
from support.shared_services import SharedServices

POLICIES: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (16, {}),
    "approved": (8, {"approval": {"people": 1, "expires": "1h"}}),
    "by-two": (2, {"approval": {"people": 2, "expires": "1h"}}),
    "shadowed": (4, {"strategy": [{"shadow": {"rows": "100..5000", "on": ["errors"]}}]}),
}
"""How many models there are of each policy, for as many tests, and how it differs from the usual one."""
SHARED: SharedServices[Gatekeepers] = SharedServices("console")
TOKENS: dict[Path, dict[str, str]] = {}
"""Of each gatekeeper with authentication, by its folder: a token a role."""


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
) -> Iterator[Callable[..., Gatekeepers]]:
    """The gatekeeper of a name and settings, running since it was first wanted, with policies for many models."""

    def make(url: str, folder: Path) -> Gatekeepers:
        service = Gatekeepers(kafka.bootstrap_servers, f"c{uuid4().hex[:8]}.", url, mlflow_server.uri, folder)
        for policy, (number, changes) in POLICIES.items():
            service.names[policy] = [f"{policy}{each}-{uuid4().hex[:8]}" for each in range(number)]
            for name in service.names[policy]:
                service.policy(name, **changes)
        return service

    # Nothing listens there: the pages show these services as away.
    away = {name: f"http://127.0.0.1:{free_port()}" for name in ("DRIFT_URL", "SERVING_URL", "TRAINER_URL")}

    def on(name: str, before: Callable[[Gatekeepers], Mapping[str, str]] = lambda _: {}) -> Gatekeepers:
        return SHARED.on(name, request, tmp_path_factory, make, lambda made: made.start_ready(**away, **before(made)))

    yield on
    SHARED.end()


@pytest.fixture
def gatekeeper(gatekeeper_on: Callable[..., Gatekeepers]) -> Gatekeepers:
    return gatekeeper_on("open")


@pytest.fixture
def secured(gatekeeper_on: Callable[..., Gatekeepers]) -> Secured:
    """For each test anew: the service ends with the last test of this folder, and may be started a second time."""

    def before(made: Gatekeepers) -> Mapping[str, str]:
        file = made.folder / "tokens.yaml"
        TOKENS[made.folder] = tokens = {role.value: create_token(file, role.value, [role]) for role in Role}
        made.client.headers["Authorization"] = f"Bearer {tokens['admin']}"  # of what a test does by the API
        return {"AUTH": "tokens", "AUTH_TOKENS_FILE": str(file)}

    service = gatekeeper_on("secured", before)
    return Secured(service, TOKENS[service.folder])


@pytest.fixture
def bus(gatekeeper: Gatekeepers) -> Iterator[BusClient]:
    client = BusClient(gatekeeper.bootstrap_servers, gatekeeper.prefix)
    yield client
    client.close()


@pytest.fixture
def model_name(gatekeeper: Gatekeepers) -> str:
    """Of a model that nobody has used."""
    return gatekeeper.names["plain"].pop()


@pytest.fixture
def name_of(gatekeeper: Gatekeepers) -> NameOf:
    """Of a model that nobody has used, by the name of its policy."""
    return lambda policy: gatekeeper.names[policy].pop()


@pytest.fixture(scope="session")
def judged(candidates: Candidates) -> Callable[..., int]:
    """Register a version of a kind with a gatekeeper and wait for its verdict; return its number."""

    def register(service: Gatekeepers, model_name: str, kind: str, **changes: Any) -> int:
        event: ModelRegistered = candidates.version(model_name, kind, **changes)
        bus = BusClient(service.bootstrap_servers, service.prefix)
        try:
            bus.publish(event)
        finally:
            bus.close()
        service.judged(model_name, event.model_version)
        return event.model_version

    return register


@pytest.fixture(scope="session")
def world(gatekeeper_on: Callable[..., Gatekeepers], judged: Callable[..., int]) -> World:
    """Models of the gatekeeper without tokens that nobody changes, and a policy that cannot be used."""
    service = gatekeeper_on("open")
    found = World(service.names["plain"].pop(), 3, service.names["approved"].pop(), service.names["shadowed"].pop())
    (service.folder / "policies" / "broken.yaml").write_text("model: broken\nmetric: <b>none</b>\n")
    for name, kinds in {found.model: "fair good worse", found.waiting: "fair", found.trying: "fair good"}.items():
        for kind in kinds.split():
            judged(service, name, kind)
    waits_for_people(service, found.waiting)
    return found
