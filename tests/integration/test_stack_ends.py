"""What ends a stack: a signal, `down`, a service that cannot start. Nothing stays, and no stranger is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from embedded_kafka import EmbeddedKafka
from gauntlet.errors import CliError
from gauntlet.processes import is_running, marked
from gauntlet.stack import Stack
from gauntlet.stack_config import MARK, StackConfig, free_ports
from gauntlet.stack_file import read_stack
from support.cli import gauntlet
from support.mlflow_server import MlflowServer
from support.stack_cli import EVERYTHING, POLICIES, alive, free_offset, up
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_registry_of_other_tests")


@pytest.fixture
def elsewhere(kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "TOPIC_PREFIX": topic_prefix,
        "POLICIES_DIR": str(POLICIES),
    }


def test_up_uses_a_kafka_and_an_mlflow_that_are_named_and_down_ends_a_half_dead_stack(
    tmp_path: Path, elsewhere: dict[str, str], kafka: EmbeddedKafka
) -> None:
    folder = ("--data-dir", str(tmp_path))
    answer = up(*folder, "--port-offset", free_offset(), "--detach", environment=elsewhere)
    assert answer.code == 0, answer.err
    try:
        state = read_stack(tmp_path)
        assert state is not None
        assert set(alive(state)) == EVERYTHING - {"kafka", "mlflow"}
        shown = gauntlet("status", *folder)
        assert shown.code == 0, shown.out
        assert kafka.bootstrap_servers in shown.out
        # The supervisor is killed: nobody restarts, the services go on, and a new stack must not start beside them.
        assert state.supervisor.pid is not None
        os.kill(state.supervisor.pid, signal.SIGKILL)
        eventually(lambda: not is_running(state.supervisor.pid, state.supervisor.process_started))
        assert gauntlet("status", *folder).code == 1
        again = up(*folder, "--port-offset", free_offset(), environment=elsewhere)
        assert again.code == 1
        assert "gauntlet down" in again.err
    finally:
        down = gauntlet("down", *folder)
    assert down.code == 0, down.err
    assert "gatekeeper" in down.out
    assert alive(state) == {}
    assert marked(MARK, state.stack_id) == []
    assert read_stack(tmp_path) is None
    assert kafka.running


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_up_and_everything_it_started(
    sign: signal.Signals, tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "gauntlet", "up", "--data-dir", str(tmp_path), "--port-offset", free_offset()],
            env={**os.environ, **elsewhere},
            stdout=log,
            stderr=log,
        )
    try:
        # In the middle of its start is a worse moment than after it.
        state = eventually(lambda: (found := read_stack(tmp_path)) and len(alive(found)) >= 3 and found, timeout=60)
        up.send_signal(sign)
        assert up.wait(60) == 0, (tmp_path / "up.log").read_text()
    finally:
        up.kill()
        gauntlet("down", "--data-dir", str(tmp_path))
    assert alive(state) == {}
    assert marked(MARK, state.stack_id) == []
    assert read_stack(tmp_path) is None


def test_a_terminal_that_has_gone_keeps_no_part_running(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    elsewhere = {"POLICIES_DIR": str(POLICIES), "MLFLOW_TRACKING_URI": mlflow_server.uri}
    command = [sys.executable, "-m", "gauntlet", "up", "--data-dir", str(tmp_path), "--port-offset", free_offset()]
    up = subprocess.Popen(command, env={**os.environ, **elsewhere}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert up.stdout is not None
        up.stdout.readline()
        state = eventually(lambda: (found := read_stack(tmp_path)) and len(alive(found)) >= 3 and found, timeout=60)
        up.stdout.close()
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    finally:
        up.kill()
        left = alive(state)
        gauntlet("down", "--data-dir", str(tmp_path))
    assert left == {}
    assert marked(MARK, state.stack_id) == []


def test_a_service_that_cannot_start_ends_the_start_with_its_log(
    tmp_path: Path, kafka: EmbeddedKafka, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    monkeypatch.setenv("TRAINER_TIMEOUT_SECONDS", "soon")
    config = StackConfig(
        tmp_path / "stack", free_ports(), policies, kafka.bootstrap_servers, mlflow_server.uri, services=["trainer"]
    )
    stack = Stack(config)
    with pytest.raises(CliError, match="trainer ended while starting") as failure:
        stack.start()
    assert "soon" in str(failure.value)
    assert stack.pids == {}
    assert read_stack(config.data_dir) is None


def test_down_leaves_alone_who_only_has_the_pid_of_a_part(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as innocent:
        began = psutil.Process(innocent.pid).create_time()
        part = {"name": "trainer", "url": "http://127.0.0.1:1", "pid": innocent.pid, "process_started": began - 3600}
        stack_file = {
            "data_dir": str(tmp_path),
            "supervisor": {**part, "name": "supervisor"},
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "mlflow": {"tracking_uri": "http://127.0.0.1:1"},
            "parts": [part],
        }
        (tmp_path / "stack.json").write_text(json.dumps(stack_file))
        answer = gauntlet("down", "--data-dir", str(tmp_path))
        assert answer.code == 0, answer.err
        assert "nothing ran any more" in answer.out
        assert innocent.poll() is None
        innocent.kill()
