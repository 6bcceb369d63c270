"""Drift with trusted keys: which version is champion, and what a rollout tries, it believes only if it is signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.signing.event_signature import sign_event
from contracts import Dataset, Envelope, Event, new_envelope
from contracts.cloudevents import encode
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.drifting import POLICY, DriftService, promotion
from support.mlflow_server import MlflowServer
from support.signed_topics import SigningKey, write, write_keys
from support.versions import Version
from support.waiting import eventually

SHOP = "shop"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, SigningKey]:
    found = write_keys(tmp_path, "gatekeeper", "next")
    (tmp_path / "trusted" / "next.pem").unlink()
    return found


@pytest.fixture
def service(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path: Path, keys: dict[str, SigningKey]
) -> Iterator[DriftService]:
    url = f"sqlite:///{tmp_path / 'drift.db'}"
    settings = {"DRIFT_TRUSTED_KEYS": str(tmp_path / "trusted")}
    made = DriftService(
        kafka.bootstrap_servers, f"d{uuid4().hex[:8]}.", url, mlflow_server.uri, tmp_path / "drift", settings
    )
    made.folder.mkdir()
    made.policy(POLICY, SHOP)
    made.start_ready()
    yield made
    made.stop()


def champion(service: DriftService) -> int | None:
    status, body = service.ask(f"/models/{SHOP}")
    return body["champion"]["model_version"] if status == 200 and body["champion"] else None


def test_a_decision_that_is_not_signed_is_a_dead_letter_and_a_rotation_needs_no_restart(
    service: DriftService, keys: dict[str, SigningKey], tmp_path: Path, reference: Dataset
) -> None:
    bus = BusClient(service.bootstrap_servers, service.prefix)

    def publish(event: Event | Envelope[Event], *names: str) -> None:
        envelope = new_envelope(event, source="gatekeeper") if isinstance(event, Event) else event
        record = encode(envelope)
        write(bus, envelope.data.topic, sign_event(record, [keys[name] for name in names]) if names else record)

    def refused(count: int) -> list[str]:
        return eventually(lambda: len(found := bus.dead_letters()) == count and [each.error for each in found.values()])

    try:
        publish(promotion(model=SHOP, version=1, epoch=1, reference=reference), "gatekeeper")
        eventually(lambda: champion(service) == 1)
        publish(promotion(model=SHOP, version=2, epoch=2, reference=reference))
        publish(Version(SHOP, 3, "models:/evil", "sha256:" + "e" * 64).rollout(1, champion_epoch=1))
        assert all("not signed" in reason for reason in refused(2))
        publish(promotion(model=SHOP, version=4, epoch=4, reference=reference), "next")
        assert any("no trusted key" in reason for reason in refused(3))
        assert champion(service) == 1
        (tmp_path / "trusted" / "next.pem").write_bytes(keys["next"].public_pem())
        eventually(lambda: len(service.ask("/ready")[1]["decisions"]["keys"]) == 2)
        publish(promotion(model=SHOP, version=5, epoch=5, reference=reference), "next")
        eventually(lambda: champion(service) == 5)
        assert len(bus.dead_letters()) == 3
    finally:
        bus.close()
