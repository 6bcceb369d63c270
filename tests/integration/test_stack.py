"""The whole stack as processes: started, watched, hurt, stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from embedded_kafka import EmbeddedKafka
from embedded_kafka.probe import taken
from gauntlet.errors import CliError
from gauntlet.processes import is_running, marked
from gauntlet.stack import Stack
from gauntlet.stack_config import MARK, StackConfig, free_ports, offset_ports
from gauntlet.stack_file import StackState, read_stack
from support.mlflow_server import MlflowServer
from support.waiting import eventually

POLICIES = Path(__file__).parents[2] / "policies"
EVERYTHING = {"mlflow", "kafka", "trainer", "gatekeeper", "drift", "serving", "staging"}


def gauntlet(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; its output must never be a traceback."""
    # Clients of MLflow that other tests made in this process have put their server into the environment.
    inherited = {key: text for key, text in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    answer = subprocess.run(
        [sys.executable, "-m", "gauntlet", *arguments],
        env={**inherited, "POLICIES_DIR": str(POLICIES), "COLUMNS": "300", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert "Traceback" not in answer.stderr
    return answer


def free_offset() -> str:
    while True:
        offset = random.randrange(1_000, 20_000)
        if not any(taken(port) for port in offset_ports(offset).values()):
            return str(offset)


def alive(state: StackState) -> dict[str, int]:
    return {part.name: part.pid for part in state.parts if part.pid and is_running(part.pid, part.process_started)}


@pytest.fixture(scope="module")
def notes() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]]) -> Iterator[Stack]:
    config = StackConfig(tmp_path_factory.mktemp("stack"), free_ports(), policies_dir=POLICIES)
    with Stack(config, lambda part, what: notes.append((part, what))) as running:
        yield running


def status(stack: Stack) -> tuple[int, dict[str, Any]]:
    answer = gauntlet("status", "--json", "--data-dir", str(stack.config.data_dir))
    return answer.returncode, json.loads(answer.stdout)


class TestTheStack:
    """One stack for all of these, in this order: the last one stops it."""

    def test_every_part_is_ready_and_the_file_says_where_it_is(self, stack: Stack) -> None:
        assert set(stack.names) == EVERYTHING
        assert {name: stack.problem(name) for name in stack.names} == dict.fromkeys(stack.names)
        state = read_stack(stack.config.data_dir)
        assert state is not None
        assert state.ready
        assert alive(state) == stack.pids
        assert state.kafka.bootstrap_servers == stack.url("kafka")
        assert state.mlflow.tracking_uri == stack.url("mlflow")

    def test_status_tells_url_pid_and_health_of_each(self, stack: Stack) -> None:
        code, found = status(stack)
        assert code == 0
        assert found["healthy"]
        assert found["kafka"]["bootstrap_servers"] == stack.url("kafka")
        assert found["mlflow"]["tracking_uri"] == stack.url("mlflow")
        assert {part["name"]: (part["url"], part["pid"], part["health"]) for part in found["parts"]} == {
            name: (stack.url(name), stack.pids[name], "ready") for name in EVERYTHING
        }

    def test_topics_are_there_and_as_they_must_be(self, stack: Stack) -> None:
        answer = gauntlet("topics", "--json", "--data-dir", str(stack.config.data_dir))
        assert answer.returncode == 0, answer.stderr
        topics = {topic["name"]: topic for topic in json.loads(answer.stdout)["topics"]}
        assert topics["promoted"]["cleanup_policy"] == "compact"
        assert topics["predictions"]["cleanup_policy"] == "delete"

    def test_a_second_stack_in_the_same_folder_is_refused(self, stack: Stack) -> None:
        with pytest.raises(CliError, match="runs already"):
            Stack(StackConfig(stack.config.data_dir, free_ports(), policies_dir=POLICIES)).start()
        assert read_stack(stack.config.data_dir) is not None

    def test_a_killed_service_comes_back_and_no_other_is_touched(
        self, stack: Stack, notes: list[tuple[str, str]]
    ) -> None:
        others = {name: (pid, stack.started_at(name)) for name, pid in stack.pids.items() if name != "gatekeeper"}
        killed = stack.kill("gatekeeper")
        eventually(lambda: stack.pids.get("gatekeeper") not in (None, killed))
        stack.await_ready("gatekeeper")
        assert {name: (stack.pids[name], stack.started_at(name)) for name in others} == others
        assert any(part == "gatekeeper" and "SIGKILL" in what for part, what in notes)
        _, found = status(stack)
        assert next(part for part in found["parts"] if part["name"] == "gatekeeper")["restarts"] >= 1

    def test_a_killed_broker_comes_back_and_everybody_finds_it(self, stack: Stack) -> None:
        address, killed = stack.url("kafka"), stack.kill("kafka")
        eventually(lambda: stack.pids.get("kafka") not in (None, killed))
        for name in stack.names:
            stack.await_ready(name)
        assert stack.url("kafka") == address

    def test_a_part_that_is_stopped_stays_down_until_it_is_started(self, stack: Stack) -> None:
        stack.stop_part("drift")
        assert "drift" not in stack.pids
        code, found = status(stack)
        assert code == 1
        assert "not running" in next(part for part in found["parts"] if part["name"] == "drift")["health"]
        stack.start_part("drift")
        assert stack.problem("drift") is None

    def test_an_unknown_part_is_an_error_that_names_the_parts(self, stack: Stack) -> None:
        with pytest.raises(CliError, match="'driff'") as failure:
            stack.restart("driff")
        assert "drift" in str(failure.value)

    def test_stop_leaves_no_process_and_no_file(self, stack: Stack) -> None:
        state = stack.state()
        assert set(alive(state)) == EVERYTHING
        stack.stop()
        assert alive(state) == {}
        assert marked(MARK, state.stack_id) == []
        assert read_stack(stack.config.data_dir) is None
        assert not any(taken(port) for port in stack.config.ports.values())


@pytest.fixture
def elsewhere(kafka: EmbeddedKafka, mlflow_server: MlflowServer, topic_prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "TOPIC_PREFIX": topic_prefix,
    }


def test_up_uses_a_kafka_and_an_mlflow_that_are_named_and_down_ends_a_half_dead_stack(
    tmp_path: Path, elsewhere: dict[str, str], kafka: EmbeddedKafka
) -> None:
    folder = ("--data-dir", str(tmp_path))
    answer = gauntlet("up", *folder, "--port-offset", free_offset(), "--detach", environment=elsewhere)
    assert answer.returncode == 0, answer.stderr
    try:
        state = read_stack(tmp_path)
        assert state is not None
        assert set(alive(state)) == EVERYTHING - {"kafka", "mlflow"}
        shown = gauntlet("status", *folder)
        assert shown.returncode == 0, shown.stdout
        assert kafka.bootstrap_servers in shown.stdout
        # The supervisor is killed: nobody restarts, the services go on, and a new stack must not start beside them.
        assert state.supervisor.pid is not None
        os.kill(state.supervisor.pid, signal.SIGKILL)
        eventually(lambda: not is_running(state.supervisor.pid, state.supervisor.process_started))
        assert gauntlet("status", *folder).returncode == 1
        again = gauntlet("up", *folder, "--port-offset", free_offset(), environment=elsewhere)
        assert again.returncode == 1
        assert "gauntlet down" in again.stderr
    finally:
        down = gauntlet("down", *folder)
    assert down.returncode == 0, down.stderr
    assert "gatekeeper" in down.stdout
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
            env={**os.environ, **elsewhere, "POLICIES_DIR": str(POLICIES)},
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


def test_a_taken_port_is_named_with_its_owner_and_the_way_out(tmp_path: Path) -> None:
    offset = free_offset()
    port = offset_ports(int(offset))["gatekeeper"]
    with socket.create_server(("127.0.0.1", port)):
        answer = gauntlet("up", "--data-dir", str(tmp_path), "--port-offset", offset)
    assert answer.returncode == 1
    assert f"port {port}, which gatekeeper needs, is taken by" in answer.stderr
    assert f"(pid {os.getpid()})" in answer.stderr
    assert "--port-offset" in answer.stderr
    assert read_stack(tmp_path) is None


def test_a_service_that_cannot_start_ends_the_start_with_its_log(
    tmp_path: Path, kafka: EmbeddedKafka, mlflow_server: MlflowServer
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "wrong.yaml").write_text("model: x\nproblem: binary\nmetric: rock_auc\n")
    config = StackConfig(
        tmp_path / "stack", free_ports(), policies, kafka.bootstrap_servers, mlflow_server.uri, services=["trainer"]
    )
    stack = Stack(config)
    with pytest.raises(CliError, match="trainer ended while starting") as failure:
        stack.start()
    assert "rock_auc" in str(failure.value)
    assert stack.pids == {}
    assert read_stack(config.data_dir) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", "KAFKA_BOOTSTRAP_SERVERS names 127.0.0.1:1"),
        ("KAFKA_BOOTSTRAP_SERVERS", "nowhere", "'nowhere' is not HOST:PORT"),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:1", "MLFLOW_TRACKING_URI names http://127.0.0.1:1"),
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "not an http:// or https:// address"),
        ("POLICIES_DIR", "/no/such/folder", "/no/such/folder"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_value(name: str, value: str, said: str, tmp_path: Path) -> None:
    folder, offset = str(tmp_path), free_offset()
    answer = gauntlet("up", "--data-dir", folder, "--port-offset", offset, environment={name: value})
    assert answer.returncode == 1
    assert said in answer.stderr
    doctor = gauntlet("doctor", "--data-dir", folder, "--port-offset", offset, "--json", environment={name: value})
    assert doctor.returncode == 1
    bad = [finding for finding in json.loads(doctor.stdout) if not finding["ok"]]
    assert [value.rpartition(":")[0] in finding["found"] and bool(finding["fix"]) for finding in bad] == [True]


def test_doctor_finds_nothing_wrong_here(tmp_path: Path) -> None:
    answer = gauntlet("doctor", "--data-dir", str(tmp_path), "--port-offset", free_offset())
    assert answer.returncode == 0, answer.stdout
    assert "46 jars with the right digests" in answer.stdout


def test_topics_says_what_is_missing_and_what_is_wrong(tmp_path: Path, kafka: EmbeddedKafka, topic_prefix: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.create_topics([NewTopic(f"{topic_prefix}promoted", 1, 1, topic_configs={"cleanup.policy": "delete"})])
    finally:
        admin.close()
    prefix = {"TOPIC_PREFIX": topic_prefix}
    answer = gauntlet("topics", "--kafka", kafka.bootstrap_servers, "--data-dir", str(tmp_path), environment=prefix)
    assert answer.returncode == 1
    assert f"topic '{topic_prefix}promoted' has cleanup.policy=delete, needed compact" in answer.stderr
    assert f"topic '{topic_prefix}drift-detected' is missing" in answer.stderr


@pytest.mark.parametrize("command", ["status", "down", "topics"])
def test_without_a_stack_the_commands_say_so(command: str, tmp_path: Path) -> None:
    answer = gauntlet(command, "--data-dir", str(tmp_path))
    assert answer.returncode == 1
    assert "no stack is running" in answer.stderr
    assert "gauntlet up" in answer.stderr


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
        assert answer.returncode == 0, answer.stderr
        assert "nothing ran any more" in answer.stdout
        assert innocent.poll() is None
        innocent.kill()


def test_a_stack_file_that_is_not_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")
    for command in ("status", "down"):
        answer = gauntlet(command, "--data-dir", str(tmp_path))
        assert answer.returncode == 1
        assert "stack.json" in answer.stderr
