"""The embedded broker with users, TLS, client certificates and access control lists, as another client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError as KafkaConnectionRefused
from aiokafka.helpers import create_ssl_context
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from embedded_kafka import EmbeddedKafka, Security, StartFailed, Tls
from support.certificates import Authority

PASSWORD = 'a, b]="c'
"""Kafka's own syntax of users would take a part of it for something else."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def security(authority: Authority) -> Security:
    issued = authority.issue("broker", "127.0.0.1")
    users = {"admin": "all", "ada": PASSWORD}
    return Security(users=users, tls=Tls(issued.certificate, issued.key), acls=True, super_users=["admin"])


@pytest.fixture(scope="module")
def broker(security: Security, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), security=security) as started:
        yield started


def admin(broker: EmbeddedKafka, authority: Authority, **options: Any) -> Any:
    assert broker.security is not None
    return closing(
        KafkaAdminClient(
            bootstrap_servers=broker.bootstrap_servers,
            security_protocol=broker.security.protocol,
            ssl_cafile=str(authority.file),
            **{"bootstrap_timeout_ms": 20_000, **options},
        )
    )


def user(name: str, password: str) -> dict[str, str]:
    return {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": name, "sasl_plain_password": password}


def test_a_user_may_do_nothing_that_is_not_allowed_and_a_super_user_everything(
    broker: EmbeddedKafka, authority: Authority
) -> None:
    with admin(broker, authority, **user("admin", "all")) as everything:
        everything.create_topics([NewTopic("orders", 1, 1)])
        assert everything.list_topics() == ["orders"]
    with admin(broker, authority, **user("ada", PASSWORD)) as nothing:
        assert nothing.list_topics() == []
        with pytest.raises(TopicAuthorizationFailedError):
            nothing.create_topics([NewTopic("others", 1, 1)])


@pytest.mark.parametrize(
    ("name", "password", "mechanism", "said"),
    [
        ("ada", "wrong", "SCRAM-SHA-512", "SaslAuthenticationFailed"),
        ("bob", PASSWORD, "SCRAM-SHA-512", "SaslAuthenticationFailed"),
        ("ada", PASSWORD, "PLAIN", "UnsupportedSaslMechanismError"),
    ],
)
def test_a_wrong_password_user_or_mechanism_is_refused(
    broker: EmbeddedKafka, authority: Authority, name: str, password: str, mechanism: str, said: str
) -> None:
    connection = create_conn(
        "127.0.0.1",
        broker.port,
        security_protocol="SASL_SSL",
        ssl_context=create_ssl_context(cafile=str(authority.file)),
        sasl_mechanism=mechanism,
        sasl_plain_username=name,
        sasl_plain_password=password,
    )
    with pytest.raises(KafkaConnectionRefused) as refused:
        asyncio.run(connection)
    assert type(refused.value).__name__ == said


def test_users_survive_a_crash_and_other_users_need_another_data_directory(
    broker: EmbeddedKafka, authority: Authority, security: Security
) -> None:
    broker.kill()
    for users, differing in (
        ({"admin": "all", "ada": "new"}, "ada"),
        ({"admin": "all", "ada": PASSWORD, "b": "c"}, "b"),
    ):
        other = EmbeddedKafka(broker.data_dir, security=replace(security, users=users))
        with pytest.raises(StartFailed, match=f"differ from them: {differing}"):
            other.start()
    broker.start()
    with admin(broker, authority, **user("ada", PASSWORD)) as again:
        assert again.list_topics() == []


def test_passwords_and_the_key_are_in_files_that_only_their_owner_reads(broker: EmbeddedKafka) -> None:
    secret = [path for path in broker.data_dir.iterdir() if path.suffix in {".properties", ".scram", ".pem"}]
    assert len(secret) == 3
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert PASSWORD not in "".join(path.read_text() for path in secret)


def test_a_client_certificate_names_its_client_and_is_required(authority: Authority, tmp_path: Path) -> None:
    issued, client = authority.issue("broker", "127.0.0.1"), authority.issue("ada", also="Mathematicians")
    stranger = Authority(tmp_path, "stranger").issue("ada-as-well")
    tls = Tls(issued.certificate, issued.key, client_authorities=authority.file)
    with EmbeddedKafka(tmp_path / "kafka", security=Security(tls=tls, acls=True, super_users=["ada"])) as broker:
        files = {"ssl_certfile": str(client.certificate), "ssl_keyfile": str(client.key)}
        with admin(broker, authority, **files) as everything:
            everything.create_topics([NewTopic("orders", 1, 1)])
            assert everything.list_topics() == ["orders"]
        for other in ({}, {"ssl_certfile": str(stranger.certificate), "ssl_keyfile": str(stranger.key)}):
            with pytest.raises(KafkaError), admin(broker, authority, bootstrap_timeout_ms=1000, **other):
                pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "users, tls, or both"),
        ({"users": {"a,b": "c"}}, "cannot be named 'a,b'"),
        ({"tls": Tls("a", "b"), "acls": True}, "who is a client"),
    ],
)
def test_what_cannot_be_secured_is_refused_before_anything_starts(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Security(**arguments)
