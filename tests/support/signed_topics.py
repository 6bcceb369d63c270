"""Keys for tests, and records as whoever may write to a topic would forge them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chassis.signing.dsse import NotVerified
from chassis.signing.event_signature import HEADER, sign_event, verify_event
from chassis.signing.keys import SigningKey, TrustedKeys
from contracts import Event, new_envelope
from contracts.cloudevents import Encoded, Record, encode
from support.bus_client import BusClient


def write_keys(folder: Path, *names: str) -> dict[str, SigningKey]:
    """Keys NAME.key, which only their owner can read, and their public halves trusted/NAME.pem."""
    (folder / "trusted").mkdir(parents=True, exist_ok=True)
    keys = {name: SigningKey.generate() for name in names}
    for name, key in keys.items():
        path = folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(key.private_pem())
        (folder / "trusted" / f"{name}.pem").write_bytes(key.public_pem())
    return keys


def trusting(*keys: SigningKey) -> TrustedKeys:
    return TrustedKeys(key.public for key in keys)


def signer_of(record: Any, topic: str, keys: Sequence[SigningKey]) -> str | None:
    """The id of the key that signed a record; None where none of `keys` did."""
    try:
        return verify_event(Record(topic, record.key, record.value, record.headers), trusting(*keys))
    except NotVerified:
        return None


def signed_by(event: Event, *keys: SigningKey, **more: Any) -> Encoded:
    encoded = encode(new_envelope(event, source="gatekeeper", **more))
    return sign_event(encoded, keys) if keys else encoded


def forged(genuine: Any, event: Event, other: SigningKey) -> dict[str, tuple[bytes, bytes | None, list[Any]]]:
    """Key, value and headers of records that none of the trusted keys signed.

    `genuine`: a signed record of the topic; `event`: what the forger would have everybody believe, of the same model.
    """
    headers = [(name, value) for name, value in genuine.headers if name != HEADER]
    [signature] = [value for name, value in genuine.headers if name == HEADER]
    broken = bytearray(b64decode(signature))
    broken[-20] ^= 1
    unsigned = signed_by(event)
    return {
        "unsigned": tuple(unsigned),
        "of another key": tuple(signed_by(event, other)),
        "another's signature": (genuine.key, unsigned.value, [*unsigned.headers, (HEADER, signature)]),
        "changed": (genuine.key, unsigned.value, [*headers, (HEADER, signature)]),
        "signature taken away": (genuine.key, genuine.value, headers),
        "broken signature": (genuine.key, genuine.value, [*headers, (HEADER, b64encode(bytes(broken)))]),
        "re-keyed": (b"another-model", genuine.value, list(genuine.headers)),
        "no event": (genuine.key, b"{}", list(genuine.headers)),
        "tombstone": (genuine.key, None, []),
    }


def write(bus: BusClient, topic: str, record: Any) -> None:
    key, value, headers = record
    bus.raw(topic, key, value, headers)
