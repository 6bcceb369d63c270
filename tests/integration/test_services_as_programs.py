"""Each service starts by `python -m SERVICE`, without a fork server."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import psutil
import pytest

from chassis.processes.launcher import FORK_SERVER
from embedded_kafka import EmbeddedKafka
from support.mlflow_server import MlflowServer
from support.processes import free_port, running
from support.waiting import eventually


@pytest.mark.parametrize("service", ["trainer", "gatekeeper", "serving", "drift"])
def test_a_service_starts_as_a_program_and_ends_cleanly(
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    topic_prefix: str,
    tmp_path: Path,
    service: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FORK_SERVER, raising=False)
    (tmp_path / "policies").mkdir()
    port = free_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "TOPIC_PREFIX": topic_prefix,
        "DATA_DIR": str(tmp_path),
        "POLICIES_DIR": str(tmp_path / "policies"),
        f"{service.upper()}_PORT": str(port),
    }
    log = tmp_path / "log"
    with running([sys.executable, "-m", service], env, log) as process:
        assert psutil.Process(process.pid).ppid() == psutil.Process().pid

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=10).status_code == 200
            except httpx.TransportError:
                return False

        eventually(ready, timeout=60)
        process.terminate()
        process.wait(30)
    assert "Finished server process" in log.read_text()
