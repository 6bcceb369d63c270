"""Parts that are stopped by SIGSTOP: they keep their pid and port, and the supervisor starts them again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from embedded_kafka import EmbeddedKafka
from gauntlet.components import KafkaPart, Part, ProcessPart
from gauntlet.supervisor import Supervisor
from support.mlflow_server import MlflowServer
from support.processes import free_port
from support.waiting import eventually


@pytest.fixture
def after() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_service_and_the_broker_come_back(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str, tmp_path: Path, after: ExitStack
) -> None:
    (tmp_path / "policies").mkdir()
    port = free_port()
    env = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "TOPIC_PREFIX": topic_prefix,
        "DATA_DIR": str(tmp_path),
        "POLICIES_DIR": str(tmp_path / "policies"),
        "TRAINER_PORT": str(port),
    }
    service = ProcessPart("trainer", [sys.executable, "-m", "trainer"], env, port, "/ready", tmp_path / "trainer.log")
    broker = KafkaPart(tmp_path / "kafka", free_port(), tmp_path / "kafka.log")
    parts: list[Part] = [service, broker]
    notes: list[tuple[str, str]] = []
    for part in parts:
        keeper = Supervisor(part, lambda name, what: notes.append((name, what)), every=0.2)
        part.start()
        after.callback(part.stop, 5.0)
        keeper.watch()
        after.callback(keeper.release)
    before = {part.name: part.pid for part in parts}
    eventually(lambda: all(part.problem() is None for part in parts), timeout=60)
    assert notes == []
    for part in parts:
        os.kill(before[part.name] or 0, signal.SIGSTOP)
    eventually(lambda: all(part.pid not in (None, before[part.name]) for part in parts), timeout=60)
    eventually(lambda: all(part.problem() is None for part in parts), timeout=60)
    assert {name for name, what in notes if what.startswith("hangs: no response to 3 checks")} == {"trainer", "kafka"}
