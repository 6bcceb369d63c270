"""A user, password or mechanism that Kafka refuses is said as that, by every client, and at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.bus import Bus
from chassis.database import Database
from chassis.errors import Transient
from chassis.follower import Follower
from chassis.relay import Relay
from chassis.settings import ServiceSettings
from chassis.topics import ensure_topics
from contracts import ModelRegistered, Promoted
from embedded_kafka import EmbeddedKafka
from support.cli import gauntlet

JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    ' username="admin" password="own" user_admin="own" user_ada="right";'
)
SETTINGS = {
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.name.plaintext.plain.sasl.jaas.config": JAAS,
}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("sasl"), settings=SETTINGS) as broker:
        yield broker


def settings(broker: EmbeddedKafka, password: str, mechanism: str = "PLAIN") -> ServiceSettings:
    return ServiceSettings(
        _env_file=None,
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="ada",
        kafka_sasl_password=password,
    )


@pytest.mark.parametrize(("password", "mechanism"), [("wrong", "PLAIN"), ("right", "SCRAM-SHA-512")])
def test_every_part_of_a_service_names_user_and_mechanism(
    secured: EmbeddedKafka, tmp_path: Path, password: str, mechanism: str
) -> None:
    assert ensure_topics(settings(secured, "right")) == ()
    refused = settings(secured, password, mechanism)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate("chassis")
    bus = Bus(refused, service="test", database=database)
    bus.on(ModelRegistered, lambda _session, _envelope: None)
    said = rf"refuses user 'ada' \({mechanism}\): authentication failed"
    with pytest.raises(Transient, match=said):
        ensure_topics(refused)
    for part in (Follower(refused, [Promoted], lambda _envelope: None), Relay(refused, database), bus):
        with pytest.raises(Transient, match=said):
            asyncio.run(part.start())


def test_a_command_names_user_and_mechanism(secured: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "ada")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "wrong")
    for command in (("dead-letters", "list"), ("train", "flights")):
        ended = gauntlet(*command, "--kafka", secured.bootstrap_servers)
        assert ended.code == 1
        assert "refuses user 'ada' (PLAIN): authentication failed" in " ".join(ended.err.split())
