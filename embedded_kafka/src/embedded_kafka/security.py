"""A secured broker: users with passwords (SCRAM-SHA-512), TLS, client certificates, and access control lists.

A broker has three listeners then. The one of the clients is secured as requested. Over the two others the broker talks
to itself, as a user with a password that is new at each start.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded_kafka.errors import StartFailed

MECHANISM = "SCRAM-SHA-512"
ITERATIONS = 4096  # the broker refuses fewer
ITSELF = "embedded-kafka"  # the user as which the broker connects to itself
COMMON_NAME = "RULE:^(?:.*,)?CN=([^,]+)(?:,.*)?$/$1/,DEFAULT"
USER_NAME = re.compile(r"[A-Za-z0-9._@-]+")
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


@dataclass(frozen=True)
class Tls:
    """Files in PEM format. `certificate`: the broker's, followed by those that it depends on; it must name 127.0.0.1,
    localhost, or whatever clients connect to. `key`: its private key, in PKCS #8 without a password.

    `client_authorities`: certificates of authorities; given, a client needs a certificate of one of them (mTLS).
    """

    certificate: Path | str
    key: Path | str
    client_authorities: Path | str | None = None


@dataclass(frozen=True)
class Security:
    """How clients connect and what they may do.

    `users`: passwords by name; with them, clients authenticate by SASL SCRAM-SHA-512. Users belong to the data
    directory: the ones of its first start remain. `acls`: everything is denied that no access control list allows,
    except to `super_users` (names, such as "admin"). Without users the name of a client is the common name of its
    certificate, or what `principal_mapping` (Kafka's `ssl.principal.mapping.rules`) makes of its subject.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    acls: bool = False
    super_users: Collection[str] = ()
    principal_mapping: str = COMMON_NAME

    def __post_init__(self) -> None:
        for name in self.users:
            if not USER_NAME.fullmatch(name) or name == ITSELF:
                raise ValueError(f"a user cannot be named {name!r}: use letters, digits, and any of . _ @ -")
        if not self.users and self.tls is None:
            raise ValueError("a secured broker needs users, tls, or both")
        if self.acls and not self.users and (self.tls is None or self.tls.client_authorities is None):
            raise ValueError("access control lists need users, or tls with client_authorities: who is a client?")

    @property
    def protocol(self) -> str:
        """The clients' `security.protocol`."""
        return ("SASL_" if self.users else "") + ("SSL" if self.tls else "PLAINTEXT")

    def settings(self, data_dir: Path, port: int, internal_port: int, controller_port: int) -> dict[str, str]:
        """Return the broker's settings; write its key and certificate into one file in `data_dir`, as Kafka needs."""
        password = secrets.token_urlsafe(24)
        itself = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            f' username="{ITSELF}" password="{password}" user_{ITSELF}="{password}";'
        )
        listeners = f"CLIENTS://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal_port}"
        settings = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": (
                f"CLIENTS:{self.protocol},INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
            ),
            "inter.broker.listener.name": "INTERNAL",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
        }
        for name in ("internal", "controller"):
            settings[f"listener.name.{name}.sasl.enabled.mechanisms"] = "PLAIN"
            settings[f"listener.name.{name}.plain.sasl.jaas.config"] = itself
        if self.users:
            settings["listener.name.clients.sasl.enabled.mechanisms"] = MECHANISM
            settings["listener.name.clients.scram-sha-512.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
        if self.tls:
            settings |= self._tls_settings(self.tls, data_dir)
        if self.acls:
            settings |= {
                "authorizer.class.name": AUTHORIZER,
                "allow.everyone.if.no.acl.found": "false",
                "super.users": ";".join(f"User:{name}" for name in (ITSELF, *self.super_users)),
            }
        return settings

    def _tls_settings(self, tls: Tls, data_dir: Path) -> dict[str, str]:
        bundle = data_dir / "broker.pem"
        write_private(bundle, f"{Path(tls.key).read_text()}\n{Path(tls.certificate).read_text()}")
        settings = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(bundle)}
        if tls.client_authorities is not None:
            settings |= {
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(Path(tls.client_authorities).absolute()),
                "ssl.client.auth": "required",
                "ssl.principal.mapping.rules": self.principal_mapping,
            }
        return {f"listener.name.clients.{name}": value for name, value in settings.items()}

    def format_arguments(self, data_dir: Path) -> list[str]:
        """Return the arguments with which the data directory is formatted, so that the users are there.

        They are in a file that only its owner can read, and not on the command line, which every local user can read.
        """
        if not self.users:
            return []
        path = users_file(data_dir)
        lines: list[str] = []
        for name, password in self.users.items():
            salt = os.urandom(16)
            lines += ["--add-scram", _credential(name, password, salt)]
        write_private(path, "".join(f"{line}\n" for line in lines))
        return [f"@{path}"]

    def require_same_users(self, data_dir: Path) -> None:
        """Raise StartFailed when the data directory was formatted for other users, or other passwords."""
        path = users_file(data_dir)
        there = path.read_text().splitlines()[1::2] if path.exists() else []
        found = {_field(line, "name"): line for line in there}
        same = {
            name
            for name, password in self.users.items()
            if name in found
            and found[name] == _credential(name, password, base64.b64decode(_field(found[name], "salt")))
        }
        if other := sorted(self.users.keys() ^ found.keys() | self.users.keys() - same):
            raise StartFailed(
                f"the users of {data_dir} are those of its first start, and these differ from them: {', '.join(other)}."
                " Start with the same users and passwords, or with a new data directory"
            )


def users_file(data_dir: Path) -> Path:
    return data_dir / "users.scram"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _credential(name: str, password: str, salt: bytes) -> str:
    """Return a user as Kafka keeps it (RFC 5802: SaltedPassword), so that Kafka's syntax does not limit passwords."""
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    encoded, salt_text = base64.b64encode(salted).decode(), base64.b64encode(salt).decode()
    return f"{MECHANISM}=[name={name},iterations={ITERATIONS},salt={salt_text},saltedpassword={encoded}]"


def _field(line: str, name: str) -> str:
    return line.split(f"{name}=", 1)[1].split(",", 1)[0]
