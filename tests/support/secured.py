"""A secured broker with the access control lists that `gauntlet acls` prints, and services that run under them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from chassis.kafka import kafka_python_options
from chassis.processes.launcher import Process
from chassis.settings import KafkaSettings
from embedded_kafka import EmbeddedKafka, Security, Tls
from support.certificates import Authority
from support.processes import end, free_port, spawn
from support.waiting import eventually

ADMIN = "admin"
PRINCIPALS = ("trainer", "gatekeeper", "serving", "serving-staging", "drift", "training-job", "viewer", "operator")
PRINCIPALS += ("recovery",)
TESTS = Path(__file__).parents[1]

Rule = tuple[str, str, str, str]
"""Principal, operation, kind of resource, name."""


def rules(printed: str) -> list[Rule]:
    """What the printed commands add, one rule for each of their operations and resources."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--command-config", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    for name in ("operation", "topic", "group"):
        parser.add_argument(f"--{name}", action="append", default=[])
    found: list[Rule] = []
    for line in printed.replace("\\\n", " ").splitlines():
        command, *arguments = shlex.split(line, comments=True) or [""]
        if not command:
            continue
        assert command == "kafka-acls.sh"
        said = parser.parse_args(arguments)
        found += [
            (said.allow_principal, operation, kind, name)
            for kind in ("topic", "group")
            for name in getattr(said, kind)
            for operation in said.operation
        ]
    assert len(set(found)) == len(found)
    return found


@dataclass
class SecuredKafka:
    """`how`: scram (SASL_SSL, SCRAM-SHA-512) or mtls (SSL, a certificate for each principal)."""

    how: str
    folder: Path
    authority: Authority = field(init=False)
    broker: EmbeddedKafka = field(init=False)

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder)
        issued = self.authority.issue("broker", "127.0.0.1", "localhost")
        tls = Tls(issued.certificate, issued.key, client_authorities=self.authority.file if self.is_mtls else None)
        users = {} if self.is_mtls else {name: self.password(name) for name in (ADMIN, *PRINCIPALS)}
        security = Security(users=users, tls=tls, acls=True, super_users=[ADMIN])
        self.broker = EmbeddedKafka(self.folder / "kafka", security=security)

    @property
    def is_mtls(self) -> bool:
        return self.how == "mtls"

    def password(self, name: str) -> str:
        return f"of {name}"

    def variables(self, name: str) -> dict[str, str]:
        """The environment of a client that is this principal."""
        common = {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SSL" if self.is_mtls else "SASL_SSL",
            "KAFKA_SSL_CAFILE": str(self.authority.file),
        }
        if not self.is_mtls:
            return common | {"KAFKA_SASL_USERNAME": name, "KAFKA_SASL_PASSWORD": self.password(name)}
        issued = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if not issued[0].exists():
            self.authority.issue(name, also="Gauntlet", password=self.password(name))
        return common | {
            "KAFKA_SSL_CERTFILE": str(issued[0]),
            "KAFKA_SSL_KEYFILE": str(issued[1]),
            "KAFKA_SSL_PASSWORD": self.password(name),
        }

    def settings(self, name: str, **changed: Any) -> KafkaSettings:
        return KafkaSettings(_env_file=None, **self.variables(name), **changed)

    def admin(self) -> Any:
        return closing(KafkaAdminClient(**kafka_python_options(self.settings(ADMIN))))

    def allow(self, added: Iterable[Rule]) -> None:
        with self.admin() as admin:
            created = admin.create_acls([ACL(*_parts(rule), ACLPermissionType.ALLOW, _pattern(rule)) for rule in added])
            assert not created["failed"]

    def forbid(self, removed: Iterable[Rule]) -> None:
        with self.admin() as admin:
            admin.delete_acls(
                [
                    ACLFilter(
                        *_parts(rule),
                        ACLPermissionType.ALLOW,
                        ResourcePatternFilter(*_named(rule), ACLResourcePatternType.LITERAL),
                    )
                    for rule in removed
                ]
            )


def _parts(rule: Rule) -> tuple[str, str, ACLOperation]:
    names = {"Read": "READ", "Write": "WRITE", "Create": "CREATE", "DescribeConfigs": "DESCRIBE_CONFIGS"}
    return rule[0], "*", ACLOperation[names[rule[1]]]


def _named(rule: Rule) -> tuple[ResourceType, str]:
    return ResourceType[rule[2].upper()], rule[3]


def _pattern(rule: Rule) -> ResourcePattern:
    return ResourcePattern(*_named(rule))


@dataclass
class SecuredService:
    """A service that runs as its principal."""

    name: str
    env: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    process: Process | None = None

    def start(self) -> None:
        module = self.name.partition("-")[0]
        env = self.env | {f"{module.upper()}_PORT": str(self.port), "DATA_DIR": str(self.folder / self.name)}
        self.process = spawn([sys.executable, "-m", module], env, self.log)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def failing(self) -> dict[str, str] | None:
        """What /ready says is failing; empty when it is ready, None before it listens."""
        assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            found: dict[str, str] = httpx.get(f"{self.url}/ready", timeout=10).json()["failing"]
        except httpx.TransportError:
            return None
        return found

    def becomes_ready(self, timeout: float = 90) -> None:
        eventually(lambda: self.failing() == {}, timeout=timeout)

    def comes_to_say(self, said: str, timeout: float = 90) -> None:
        eventually(lambda: said in str(self.failing()), timeout=timeout)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)
