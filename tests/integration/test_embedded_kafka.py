"""The embedded broker does what a broker does, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError

from embedded_kafka import DigestMismatch, EmbeddedKafka, PortTaken, StartFailed
from embedded_kafka.install import CACHE_VARIABLE, installed_jars
from support.processes import free_port
from support.waiting import eventually


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka") as started:
        yield started


def make_topic(broker: EmbeddedKafka, name: str, **configuration: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        admin.create_topics([NewTopic(name, 1, 1, topic_configs=configuration)])
    finally:
        admin.close()


def publish(broker: EmbeddedKafka, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, acks="all", max_request_size=8 << 20, max_block_ms=15_000
    )
    try:
        for sent in [producer.send(topic, value) for value in values]:
            sent.get(15)
    finally:
        producer.close()


def read(broker: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        group_id="reader",
        enable_auto_commit=False,
        max_partition_fetch_bytes=8 << 20,
    )
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(message.value for batch in consumer.poll(200).values() for message in batch)
        return len(found) >= count

    try:
        eventually(enough, timeout=30, interval=0)
    finally:
        consumer.close()
    return found


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_is_published_is_consumed_also_when_it_is_large(broker: EmbeddedKafka) -> None:
    make_topic(broker, "letters")
    large = os.urandom(5 << 20)
    publish(broker, "letters", b"a", b"b", large)
    assert read(broker, "letters", 3) == [b"a", b"b", large]


def test_topics_are_not_made_by_asking_for_them(broker: EmbeddedKafka) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_block_ms=1000)
    try:
        with pytest.raises(KafkaTimeoutError):
            producer.send("typo", b"x").get(5)
    finally:
        producer.close()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        assert "typo" not in admin.list_topics()
    finally:
        admin.close()


def test_data_and_port_survive_a_clean_restart_and_a_kill(broker: EmbeddedKafka) -> None:
    make_topic(broker, "kept")
    publish(broker, "kept", b"before")
    port = broker.port
    broker.stop()
    assert broker.pid is None
    broker.start()
    publish(broker, "kept", b"between")
    killed = broker.pid
    broker.kill()
    broker.start()
    assert broker.port == port
    assert broker.pid != killed
    assert read(broker, "kept", 2) == [b"before", b"between"]


def test_a_broker_that_was_killed_from_outside_can_be_started_again(broker: EmbeddedKafka) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    eventually(lambda: not broker.running, timeout=10)
    broker.start()
    make_topic(broker, "again")


def test_two_brokers_run_beside_each_other(broker: EmbeddedKafka, tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "other") as other:
        assert other.port != broker.port
        make_topic(broker, "mine")
        make_topic(other, "mine")
        publish(broker, "mine", b"one")
        publish(other, "mine", b"two")
        assert read(broker, "mine", 1) == [b"one"]
        assert read(other, "mine", 1) == [b"two"]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            EmbeddedKafka(tmp_path, port).start()


def test_a_second_broker_on_the_same_data_is_refused_and_the_first_unharmed(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    second = EmbeddedKafka(tmp_path / "kafka")
    with pytest.raises(StartFailed, match=f"another Kafka uses {tmp_path / 'kafka'}"):
        second.start()
    assert second.pid is None
    make_topic(broker, "unharmed")
    publish(broker, "unharmed", b"x")


def test_the_data_of_a_broker_whose_parent_was_killed_can_be_used_at_once(tmp_path: Path) -> None:
    command = run_command(tmp_path)
    broker_pid(command)
    command.kill()
    command.wait(10)
    with EmbeddedKafka(tmp_path / "data") as broker:
        make_topic(broker, "again")


def test_a_wrong_setting_is_refused_with_what_kafka_says(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"num\.io\.threads") as failure:
        EmbeddedKafka(tmp_path, settings={"num.io.threads": "none"}).start()
    assert str(tmp_path / "broker.log") in str(failure.value)
    assert str(failure.value).count("\n") < 16


def test_a_corrupted_jar_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = installed_jars()
    copy = tmp_path / "cache" / installed[0].parent.name
    copy.mkdir(parents=True)
    for jar in installed[1:]:
        (copy / jar.name).symlink_to(jar)
    (copy / installed[0].name).write_bytes(installed[0].read_bytes()[:-1])
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(DigestMismatch, match=installed[0].name):
        EmbeddedKafka(tmp_path / "kafka").start()
    assert not (tmp_path / "kafka").exists()


def test_without_a_network_the_command_says_what_to_do(tmp_path: Path) -> None:
    broken = {"HTTPS_PROXY": f"http://127.0.0.1:{free_port()}", CACHE_VARIABLE: str(tmp_path / "cache"), "NO_PROXY": ""}
    answer = run_command(tmp_path, {**broken, "https_proxy": broken["HTTPS_PROXY"], "no_proxy": ""})
    output = answer.communicate(timeout=60)[0]
    assert answer.returncode == 1
    assert "could not be fetched" in output
    assert "KAFKA_BOOTSTRAP_SERVERS" in output
    assert "Traceback" not in output


def test_ctrl_c_ends_the_command_and_the_broker(tmp_path: Path) -> None:
    command = run_command(tmp_path)
    pid = broker_pid(command)
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == 0
    assert not alive(pid)


def test_the_broker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    command = run_command(tmp_path)
    pid = broker_pid(command)
    command.kill()
    command.wait(10)
    eventually(lambda: not alive(pid), timeout=30)


def test_the_pytest_fixture_works_in_somebody_elses_project(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "from embedded_kafka.probe import answers\n"
        "def test_it_answers(embedded_kafka):\n"
        "    assert answers(embedded_kafka.port)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1 passed" in answer.stdout


def run_command(folder: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "embedded_kafka", "--port", "0", "--data-dir", str(folder / "data")],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def broker_pid(command: subprocess.Popen[str]) -> int:
    assert command.stdout is not None
    line = next(line for line in command.stdout if "Kafka answers" in line)
    return int(line.split("(pid ")[1].split(",")[0])
