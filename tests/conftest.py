"""Real parts for every test: one broker, one MLflow and one PostgreSQL a test process; names and ports of its own."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import chassis  # noqa: F401 – before any test imports MLflow: it turns its telemetry off
from chassis.processes.owner import ForkServer
from embedded_kafka import EmbeddedKafka
from support import leftovers
from support.browser import Browser, chromium
from support.bus_client import BusClient
from support.databases import DATABASES, on_one_of_both
from support.longest import longest_first
from support.mlflow_server import MlflowServer
from support.postgres import Postgres
from support.processes import free_port as find_free_port


def pytest_configure(config: pytest.Config) -> None:
    leftovers.interrupt_on_sigterm()
    if not hasattr(config, "workerinput"):  # what xdist's workers start has the mark of the process that started them
        leftovers.end_with_this_process()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where tests of services may run: a server they are forked from, which imports the libraries during collection."""
    config = session.config
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if runs_tests and not config.option.collectonly and any("unit" not in Path(arg).parts for arg in config.args):
        server = ForkServer().start()
        os.environ.update(server.variable)
        config.add_cleanup(server.stop)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first, by folder and in it by file: xdist hands out files in this order, and what is last is waited for.

    The files of a folder stay together, so that the services that they share end when it is done.
    """
    on_one_of_both(items)
    items.sort(key=lambda item: longest_first(item.path.relative_to(Path(__file__).parent)))


def pytest_collection_finish() -> None:
    # What was imported until now stays: no collection of garbage needs to look through its millions of objects.
    gc.collect()
    gc.freeze()


@pytest.fixture
def no_registry_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of MLflow puts its server into the environment of its process, which is one for many tests here."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def _own_tracking_server() -> Iterator[None]:
    """`mlflow.set_tracking_uri` holds for the whole process and hides MLFLOW_TRACKING_URI: it ends with the test."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)  # which takes the variable away, too
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> EmbeddedKafka:
    """The broker of this test process. While it starts, so does the MLflow server if any test will want it."""
    if any("mlflow_server" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("starting_mlflow_server")
    broker: EmbeddedKafka = request.getfixturevalue("embedded_kafka")
    return broker


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid4().hex[:8]}."


@pytest.fixture
def own_bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    """On topics of the test's own, which are there already."""
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    client.ensure_topics()
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not below pytest's own folder, which only its owner may enter: PostgreSQL runs as somebody else under root.
    with tempfile.TemporaryDirectory(prefix="gauntlet-postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once on each of the two kinds; `support.databases` says when one is enough."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()


@pytest.fixture(scope="session")
def starting_mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.begin()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mlflow_server(starting_mlflow_server: MlflowServer) -> MlflowServer:
    """Shared by the tests of one process; `.uri`, `.stop()` and `.start()`. Who stops it, starts it again."""
    starting_mlflow_server.await_ready()
    return starting_mlflow_server


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of a module: see `support.browser`."""
    with chromium() as started:
        yield started
