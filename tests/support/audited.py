"""A gatekeeper that signs, with a key of its own, for tests of audit heads and of exported evidence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.signing.keys import SigningKey
from support.bus_client import BusClient
from support.gatekeepers import Gatekeepers

HEAD_SECONDS = 0.2


@dataclass
class Audited:
    gatekeeper: Gatekeepers
    bus: BusClient
    keys: Path
    database: Path

    def freeze(self, name: str, times: int = 1) -> None:
        """Add a row of the audit trail, or more."""
        for number in range(times):
            word = "freeze" if number % 2 == 0 else "unfreeze"
            body = {"actor": "ada", "reason": f"row {number}"}
            assert self.gatekeeper.post(f"/models/{name}/{word}", body).is_success

    def rows(self) -> int:
        found: int = self.gatekeeper.get("/audit/verify")["rows"]
        return found

    def heads(self) -> list[int]:
        """The numbers of rows at which heads were published."""
        return [event.data.rows for event in self.bus.events("audit-heads")]


def key_pair(folder: Path, trusted: Path) -> Path:
    """Write a private key into one folder and its public key into another; return the private one."""
    key = SigningKey.generate()
    for each in (folder, trusted):
        each.mkdir(parents=True, exist_ok=True)
    private = folder / "signing.pem"
    private.write_bytes(key.private_pem())
    private.chmod(0o600)
    (trusted / f"{key.key_id.replace(':', '-')}.pem").write_bytes(key.public_pem())
    return private


@contextmanager
def audited(bootstrap_servers: str, tracking_uri: str, folder: Path, *models: str) -> Iterator[Audited]:
    """Run one on SQLite with policies for these models; the command line's variables lead to it."""
    prefix, database = f"a{uuid4().hex[:8]}.", folder / "gatekeeper.db"
    service = Gatekeepers(bootstrap_servers, prefix, f"sqlite:///{database}", tracking_uri, folder)
    private = key_pair(folder / "private", folder / "trusted")
    bus = BusClient(bootstrap_servers, prefix)
    for name in models:
        service.policy(name)
    try:
        service.start_ready(GATEKEEPER_SIGNING_KEY=str(private), GATEKEEPER_AUDIT_HEAD_SECONDS=str(HEAD_SECONDS))
        variables = {
            "GATEKEEPER_URL": service.url(),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "TOPIC_PREFIX": prefix,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield Audited(service, bus, folder / "trusted", database)
    finally:
        bus.close()
        service.stop()
