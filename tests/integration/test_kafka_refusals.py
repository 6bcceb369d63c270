"""What Kafka refuses is said as that, with the remedy, by every client and at once: passwords, certificates, lists."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis.acls import needs_by_principal
from chassis.bus import Bus
from chassis.database import Database
from chassis.errors import Transient
from chassis.follower import Follower
from chassis.kafka_problem import refusal
from chassis.relay import Relay
from chassis.settings import KafkaSettings, ServiceSettings
from chassis.topics import ensure_topics
from contracts import ModelRegistered, Promoted
from gauntlet_client import AsyncGauntlet, ClientError, Gauntlet
from support.certificates import Authority, Issued
from support.cli import gauntlet, ok
from support.secured import SecuredKafka, rules

PAST = timedelta(hours=-1)


@pytest.fixture(scope="module")
def scram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka("scram", tmp_path_factory.mktemp("scram"))
    with kafka.broker:
        yield kafka


@pytest.fixture(scope="module")
def mtls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka("mtls", tmp_path_factory.mktemp("mtls"))
    with kafka.broker:
        yield kafka


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


SCRAM_FAULTS = {
    "wrong password": ({"kafka_sasl_password": "wrong"}, r"refuses user 'trainer' \(SCRAM-SHA-512\): authentication"),
    "unknown user": ({"kafka_sasl_username": "bob"}, r"refuses user 'bob' \(SCRAM-SHA-512\): authentication failed"),
    "other mechanism": ({"kafka_sasl_mechanism": "PLAIN"}, r"refuses user 'trainer' \(PLAIN\): authentication failed"),
    "unknown authority": ({"kafka_ssl_cafile": None}, "not issued by a known authority .*Set KAFKA_SSL_CAFILE"),
    "no such file": ({"kafka_ssl_cafile": Path("missing.pem")}, "cannot be used .*KAFKA_SSL_CAFILE=missing.pem"),
}


@pytest.mark.parametrize("fault", SCRAM_FAULTS)
def test_every_part_of_a_service_says_what_is_refused(scram: SecuredKafka, tmp_path: Path, fault: str) -> None:
    changed, said = SCRAM_FAULTS[fault]
    refused = ServiceSettings(_env_file=None, **scram.variables("trainer")).model_copy(update=changed)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate("chassis")
    with pytest.raises(Transient, match=said):
        ensure_topics(refused)
    if fault == "no such file":
        return  # each service creates its topics first
    bus = Bus(refused, service="test", database=database)
    bus.on(ModelRegistered, lambda _session, _envelope: None)
    for part in (Follower(refused, [Promoted], lambda _envelope: None), Relay(refused, database), bus):
        with pytest.raises(Transient, match=said):
            asyncio.run(part.start())


@pytest.mark.parametrize("fault", ["wrong password", "other mechanism", "unknown authority"])
def test_a_command_says_it_too(scram: SecuredKafka, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    for name, value in scram.variables("viewer").items():
        monkeypatch.setenv(name, value)
    changed, said = SCRAM_FAULTS[fault]
    for setting, value in changed.items():
        if value is None:
            monkeypatch.delenv(setting.upper())
        else:
            monkeypatch.setenv(setting.upper(), value)
    ended = gauntlet("dead-letters", "list")
    assert ended.code == 1
    assert _matches(said.replace("trainer", "viewer"), ended.err)


def test_who_presents_no_valid_certificate_is_told_which(mtls: SecuredKafka, stranger: Authority) -> None:
    right = mtls.settings("trainer")
    assert refusal(right) is None
    assert "refuses a client without a certificate" in _said(right, kafka_ssl_certfile=None, kafka_ssl_keyfile=None)
    unknown = _said(right, **_files(stranger.issue("trainer")))
    assert "refuses certificate CN=trainer" in unknown
    assert "authority" in unknown and "KAFKA_SSL_CERTFILE" in unknown
    old = _said(right, **_files(mtls.authority.issue("old", ends_in=PAST)))
    assert "refuses certificate CN=old" in old and "expired" in old
    assert "If the key is encrypted, set KAFKA_SSL_PASSWORD" in _said(right, kafka_ssl_password=None)
    assert "cannot be used" in _said(right, kafka_ssl_password="wrong")


def test_a_broker_whose_certificate_is_no_good_is_told_which(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with _tls_server(authority.issue("old", "127.0.0.1", ends_in=PAST)) as port:
        assert "has expired: the broker needs a new one" in _said(_over_tls(authority, port))
    with _tls_server(authority.issue("other", "kafka.example")) as port:
        said = _said(_over_tls(authority, port))
        assert "is for another host" in said and "KAFKA_SSL_CHECK_HOSTNAME=false" in said
        assert refusal(_over_tls(authority, port, kafka_ssl_check_hostname=False)) is None


def test_each_missing_permission_is_named_with_its_user(scram: SecuredKafka) -> None:
    """One list less: the sentence names exactly that one. Of each kind one here; `exhaustive`: all of them."""
    _one_less(scram, sample=True)


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_each_of_all_printed_permissions_is_needed(scram: SecuredKafka) -> None:
    _one_less(scram, sample=False)


def _one_less(kafka: SecuredKafka, *, sample: bool) -> None:
    prefix = "less." if sample else "all."
    printed = rules(ok("acls", "--prefix", prefix).out)
    kafka.allow(printed)
    try:
        needs = {
            f"User:{name}": (name, found)
            for service in ("trainer", "gatekeeper", "serving", "drift")
            for name, found in needs_by_principal(prefix, service).items()
        }
        for name, found in needs.values():
            assert ensure_topics(kafka.settings(name, topic_prefix=prefix, kafka_partitions=1), found) == ()
        # Create is needed while there is no topic: the test of the whole stack begins without.
        chosen = [rule for rule in printed if rule[0] in needs and rule[1] != "Create"]
        if sample:
            chosen = list({(rule[0], rule[1], rule[2]): rule for rule in chosen}.values())
        for rule in chosen:
            name, found = needs[rule[0]]
            kafka.forbid([rule])
            operation = {"DescribeConfigs": "DESCRIBE_CONFIGS"}.get(rule[1], rule[1].upper())
            with pytest.raises(Transient) as lacking:
                ensure_topics(kafka.settings(name, topic_prefix=prefix), found)
            assert f"does not allow User:{name}: {operation} on {rule[2]} '{rule[3]}'. " in str(lacking.value)
            kafka.allow([rule])
    finally:
        kafka.forbid(printed)


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, " ".join(text.split())) is not None


def _said(settings: KafkaSettings, **changed: Any) -> str:
    found = refusal(settings.model_copy(update=changed))
    assert found is not None
    return found


def _files(issued: Issued) -> dict[str, Any]:
    return {
        "kafka_ssl_certfile": issued.certificate,
        "kafka_ssl_keyfile": issued.key,
        "kafka_ssl_password": None,
    }


def _over_tls(authority: Authority, port: int, **settings: Any) -> KafkaSettings:
    return KafkaSettings(
        _env_file=None,
        kafka_bootstrap_servers=f"127.0.0.1:{port}",
        kafka_security_protocol="SSL",
        kafka_ssl_cafile=authority.file,
        **settings,
    )


@contextmanager
def _tls_server(issued: Issued) -> Iterator[int]:
    """Of TLS alone: the fault is found before a request is answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=[listener, context], daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(plain, server_side=True) as secured:
                secured.recv(1024)
        except OSError:
            plain.close()


@pytest.mark.parametrize("client", ["synchronous", "asyncio"])
@pytest.mark.parametrize("fault", [None, "wrong password", "no such file"])
def test_the_python_client_connects_as_services_do_and_says_what_is_refused(
    scram: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, fault: str | None
) -> None:
    ensure_topics(scram.settings("admin"))
    for name, value in scram.variables("admin").items():
        monkeypatch.setenv(name, value)
    changes = SCRAM_FAULTS[fault][0] if fault else {}
    for setting, changed in changes.items():
        monkeypatch.delenv(setting.upper()) if changed is None else monkeypatch.setenv(setting.upper(), str(changed))

    def seen() -> list[Any]:
        with Gauntlet(data_dir=tmp_path) as gauntlet:
            return list(gauntlet.events("Promoted", group="mine", timeout=0.5))

    async def seen_later() -> list[Any]:
        async with AsyncGauntlet(data_dir=tmp_path) as gauntlet:
            return [event async for event in gauntlet.events("Promoted", group="mine", timeout=0.5)]

    read = seen if client == "synchronous" else lambda: asyncio.run(seen_later())
    if fault is None:
        assert read() == []
    else:
        with pytest.raises(ClientError, match="Kafka") as error:
            read()
        assert error.value.hint
