"""Real parts for every test: one broker, one MLflow and one PostgreSQL a test process; names and ports of its own."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import chassis  # noqa: F401 – before any test imports MLflow: it turns its telemetry off
from chassis.processes.owner import ForkServer
from embedded_kafka import EmbeddedKafka
from support import leftovers
from support.databases import DATABASES
from support.longest import LONGEST
from support.mlflow_server import MlflowServer
from support.postgres import Postgres
from support.processes import free_port as find_free_port


def pytest_configure(config: pytest.Config) -> None:
    leftovers.interrupt_on_sigterm()
    if not hasattr(config, "workerinput"):  # what xdist's workers start has the mark of the process that started them
        leftovers.end_with_this_process()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first: xdist hands files to its workers in this order, and a long one at the end has one wait."""
    items.sort(key=lambda item: -LONGEST.get(item.path.relative_to(Path(__file__).parent).as_posix(), 0))


def pytest_collection_finish(session: pytest.Session) -> None:
    # What was imported until now stays: no collection of garbage needs to look through its millions of objects.
    gc.collect()
    gc.freeze()
    if not session.config.option.collectonly and any("integration" in item.path.parts for item in session.items):
        server = ForkServer().start()  # imports the libraries while the first fixtures start
        os.environ.update(server.variable)
        session.config.add_cleanup(server.stop)


@pytest.fixture(autouse=True)
def no_registry_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of MLflow puts its server into the environment of its process, which is one for many tests here."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def kafka(embedded_kafka: EmbeddedKafka) -> EmbeddedKafka:
    """The broker of this test process, by its short name."""
    return embedded_kafka


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid4().hex[:8]}."


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
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Shared by the tests of one process; `.uri`, `.stop()` and `.start()`. Who stops it, starts it again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port
