"""DSSE 1.0.2: signs bytes of a stated type, so that a signature for one use is none for another.

https://github.com/secure-systems-lab/dsse: protocol.md gives the bytes that are signed, envelope.md the JSON.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from chassis.errors import Permanent

MOST_SIGNATURES = 8
"""In one envelope: each costs a tenth of a millisecond, whoever wrote it."""


class Why(StrEnum):
    """Why a decision is not believed, as metrics count it; the message says more."""

    UNREADABLE = "unreadable"
    TOMBSTONE = "tombstone"
    UNSIGNED = "unsigned"
    SIGNATURE = "signature"
    """No trusted key made it, or it cannot be read."""
    CHANGED = "changed"
    RETARGETED = "retargeted"
    """Signed for another model."""
    REPLAYED = "replayed"
    """Older than one that was verified before."""
    INCOMPLETE = "incomplete"
    """It does not say which bytes it is about."""


class NotVerified(Permanent):
    """A signature is missing, or is none of a trusted key over these bytes; the message says which."""

    def __init__(self, message: str, why: Why = Why.SIGNATURE) -> None:
        super().__init__(message)
        self.why = why


class Signer(Protocol):
    """A private key. `key_id` names it; a reader finds its public key by it."""

    key_id: str

    def sign(self, message: bytes) -> bytes: ...


class Verifier(Protocol):
    """Public keys, by key id."""

    def verify(self, key_id: str, signature: bytes, message: bytes) -> bool:
        """Return whether a trusted key of this id made the signature; False for an unknown id."""
        ...


@dataclass(frozen=True)
class Signature:
    key_id: str
    signature: bytes


@dataclass(frozen=True)
class SignedBytes:
    """A DSSE envelope."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_json(self) -> bytes:
        signatures = [{"keyid": each.key_id, "sig": b64encode(each.signature).decode()} for each in self.signatures]
        body = {
            "payload": b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> SignedBytes:
        """Raises NotVerified for what is not an envelope."""
        try:
            body = json.loads(text)
            signatures = tuple(
                Signature(_text(each["keyid"]), b64decode(_text(each["sig"]), validate=True))
                for each in body["signatures"]
            )
            return cls(_text(body["payloadType"]), b64decode(_text(body["payload"]), validate=True), signatures)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise NotVerified(
                f"not a DSSE envelope: {error or type(error).__name__}; it begins {text[:40]!r}"
            ) from error


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: PAE(type, body) of the protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def signed(payload_type: str, payload: bytes, signers: Iterable[Signer]) -> SignedBytes:
    message = pre_authentication_encoding(payload_type, payload)
    return SignedBytes(
        payload_type, payload, tuple(Signature(signer.key_id, signer.sign(message)) for signer in signers)
    )


def verified(envelope: SignedBytes, payload_type: str, keys: Verifier) -> str:
    """Return the id of a trusted key that signed the payload. Raises NotVerified."""
    if envelope.payload_type != payload_type:
        raise NotVerified(f"signed as {envelope.payload_type[:100]!r}, expected {payload_type!r}")
    if len(envelope.signatures) > MOST_SIGNATURES:
        raise NotVerified(f"{len(envelope.signatures):,} signatures; at most {MOST_SIGNATURES} are tried")
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    for each in envelope.signatures:
        if keys.verify(each.key_id, each.signature, message):
            return each.key_id
    ids = ", ".join(repr(each.key_id[:100]) for each in envelope.signatures) or "none"
    raise NotVerified(f"no trusted key made the signature (key ids in it: {ids})")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
