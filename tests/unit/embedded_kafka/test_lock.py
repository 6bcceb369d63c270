"""The committed lock file: complete, well formed, one Kafka."""

from __future__ import annotations

from importlib.resources import files

from embedded_kafka.lock import KAFKA_VERSION, LOCK_FILE, Jar, pinned_jars, render


def test_every_jar_is_pinned_by_digest_and_size() -> None:
    jars = pinned_jars()
    assert len(jars) >= 45
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) and jar.size > 0 for jar in jars)


def test_no_file_name_is_pinned_twice() -> None:
    names = [jar.file_name for jar in pinned_jars()]
    assert len(names) == len(set(names))


def test_all_parts_of_kafka_have_the_same_version() -> None:
    # Resolved together with Log4j's binding, the clients would come out older than the broker.
    kafka = {jar.coordinate for jar in pinned_jars() if jar.coordinate.startswith("org.apache.kafka:")}
    assert len(kafka) > 10
    assert {coordinate.split(":")[2] for coordinate in kafka} == {KAFKA_VERSION}


def test_the_lock_file_is_what_its_generator_writes() -> None:
    assert render(list(pinned_jars())) == (files("embedded_kafka") / LOCK_FILE).read_text()


def test_a_jar_is_stored_under_artifact_and_version() -> None:
    assert Jar("org.yaml:snakeyaml:2.5", "0" * 64, 1).file_name == "snakeyaml-2.5.jar"
