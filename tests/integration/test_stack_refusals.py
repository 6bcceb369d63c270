"""What `up`, `doctor`, `status`, `topics` and `down` say when something is missing, taken or wrong."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from embedded_kafka import EmbeddedKafka
from gauntlet.stack_config import offset_ports
from gauntlet.stack_file import read_stack
from support.cli import gauntlet
from support.stack_cli import POLICIES, free_offset, up

pytestmark = pytest.mark.usefixtures("no_registry_of_other_tests")


@pytest.fixture(autouse=True)
def policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICIES_DIR", str(POLICIES))


def test_a_taken_port_is_named_with_its_owner_and_the_way_out(tmp_path: Path) -> None:
    offset = free_offset()
    port = offset_ports(int(offset))["gatekeeper"]
    with socket.create_server(("127.0.0.1", port)):
        answer = up("--data-dir", str(tmp_path), "--port-offset", offset)
    assert answer.code == 1
    assert f"port {port}, which gatekeeper needs, is taken by" in answer.err
    assert f"(pid {os.getpid()})" in answer.err
    assert "--port-offset" in answer.err
    assert read_stack(tmp_path) is None


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
def test_a_wrong_setting_is_refused_with_its_value(
    name: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    folder, offset = str(tmp_path), free_offset()
    answer = up("--data-dir", folder, "--port-offset", offset)
    assert answer.code == 1
    assert said in answer.err
    doctor = gauntlet("doctor", "--data-dir", folder, "--port-offset", offset, "--json")
    assert doctor.code == 1
    bad = [finding for finding in json.loads(doctor.out) if not finding["ok"]]
    assert [value.rpartition(":")[0] in finding["found"] and bool(finding["fix"]) for finding in bad] == [True]


def test_doctor_finds_nothing_wrong_here(tmp_path: Path) -> None:
    answer = gauntlet("doctor", "--data-dir", str(tmp_path), "--port-offset", free_offset())
    assert answer.code == 0, answer.out
    assert "46 jars with the right digests" in answer.out


def test_topics_says_what_is_missing_and_what_is_wrong(
    tmp_path: Path, kafka: EmbeddedKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.create_topics([NewTopic(f"{topic_prefix}promoted", 1, 1, topic_configs={"cleanup.policy": "delete"})])
    finally:
        admin.close()
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    answer = gauntlet("topics", "--kafka", kafka.bootstrap_servers, "--data-dir", str(tmp_path))
    assert answer.code == 1
    assert f"topic '{topic_prefix}promoted' has cleanup.policy=delete, needed compact" in answer.err
    assert f"topic '{topic_prefix}drift-detected' is missing" in answer.err


@pytest.mark.parametrize("command", ["status", "down", "topics"])
def test_without_a_stack_the_commands_say_so(command: str, tmp_path: Path) -> None:
    answer = gauntlet(command, "--data-dir", str(tmp_path))
    assert answer.code == 1
    assert "no stack is running" in answer.err
    assert "gauntlet up" in answer.err


def test_a_stack_file_that_is_not_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")
    for command in ("status", "down"):
        answer = gauntlet(command, "--data-dir", str(tmp_path))
        assert answer.code == 1
        assert "stack.json" in answer.err
