"""Several workers behind one port: all answer, swap together, are replaced when they die, end with their supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from uuid import uuid4

import httpx
import psutil
import pytest

from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.clients import repeated
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import ROW, Uploads, score_of
from support.waiting import eventually

NAME = "by-several"


@pytest.fixture(scope="module")
def bus(kafka: EmbeddedKafka) -> Iterator[BusClient]:
    prefix = f"w{uuid4().hex[:8]}."
    ensure_topics(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix))
    client = BusClient(kafka.bootstrap_servers, prefix)
    yield client
    client.close()


@pytest.fixture(scope="module")
def by_several(
    bus: BusClient, mlflow_server: MlflowServer, uploads: Uploads, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    replica = Replica(bus.bootstrap_servers, bus.prefix, mlflow_server.uri, tmp_path_factory.mktemp("by-several"))
    replica.env = {"SERVING_WORKERS": "2"}
    bus.publish(uploads.version(NAME, 1).promoted(1))
    yield replica
    replica.stop()


@pytest.fixture
def replica(by_several: Replica) -> Replica:
    """With two workers that answer; started anew only if the test before has ended it."""
    if by_several.process is None or by_several.process.poll() is not None:
        by_several.start_ready()
    eventually(lambda: len(pids(by_several)) == 2, timeout=60)
    return by_several


def pids(replica: Replica) -> set[int]:
    """Of the workers that answer; each question is a connection of its own."""
    found = set()
    for _ in range(30):
        try:
            found.add(httpx.get(f"http://127.0.0.1:{replica.port}/health", timeout=10).json()["pid"])
        except httpx.TransportError:
            pass
    return found


class Asking:
    """Clients that ask without a pause, a connection each, and note the versions in the order of the answers."""

    def __init__(self, replica: Replica) -> None:
        self._url = f"http://127.0.0.1:{replica.port}/predict"
        self.versions: list[int] = []
        self.failed: list[str] = []

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        with ExitStack() as stack:
            connections = [stack.enter_context(httpx.Client(timeout=30)) for _ in range(4)]
            stack.enter_context(repeated(*(partial(self._ask, connection) for connection in connections)))
            yield self

    def _ask(self, connection: httpx.Client) -> None:
        answer = connection.post(self._url, json={"rows": [ROW]})
        if answer.status_code != 200:
            self.failed.append(answer.text)
            return
        about = answer.json()
        assert about["predictions"][0]["score"] == score_of(about["model_version"])
        self.versions.append(about["model_version"])


def test_workers_swap_together_and_no_request_fails(replica: Replica, bus: BusClient, uploads: Uploads) -> None:
    before = replica.metric("gauntlet_serving_swaps_total")
    with Asking(replica).asking() as asking:
        for version in range(2, 6):
            bus.publish(uploads.version(NAME, version).promoted(version))
            eventually(lambda version=version: version in asking.versions)
            eventually(lambda version=version: set(asking.versions[-40:]) == {version})
    assert not asking.failed
    late = [older for older, newer in zip(asking.versions[1:], asking.versions, strict=False) if older < newer]
    assert len(late) <= 4 * 25, "only what was on its way when the workers swapped is older"
    assert replica.metric("gauntlet_serving_swaps_total") == before + 4 * 2, "metrics are those of all workers"


def test_a_worker_that_dies_is_replaced_and_the_others_answer_meanwhile(replica: Replica) -> None:
    before = pids(replica)
    victim = psutil.Process(min(before))
    victim.kill()
    # What it had taken is lost with it; its connections are open until the last of its threads has ended.
    eventually(lambda: not victim.is_running())
    for _ in range(20):
        assert replica.predict(ROW).status_code == 200
    eventually(lambda: len(pids(replica) - {victim.pid}) == 2, timeout=60)


def test_the_end_of_the_supervisor_is_the_end_of_its_workers(replica: Replica) -> None:
    workers = [psutil.Process(pid) for pid in pids(replica)]
    assert replica.process is not None
    replica.process.send_signal(signal.SIGTERM)
    assert replica.process.wait(30) == 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def test_workers_do_not_outlive_a_supervisor_that_was_killed(replica: Replica) -> None:
    workers = [psutil.Process(pid) for pid in pids(replica)]
    assert replica.process is not None
    os.kill(replica.process.pid, signal.SIGKILL)
    replica.process.wait(10)
    eventually(lambda: not any(worker.is_running() for worker in workers), timeout=40)
