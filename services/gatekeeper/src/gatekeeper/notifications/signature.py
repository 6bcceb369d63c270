"""Signatures of webhooks, by the convention of Standard Webhooks (https://www.standardwebhooks.com), version 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from chassis.errors import Permanent

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key, as the convention has it."""


def keys_of(secret: str) -> tuple[bytes, ...]:
    """Return the keys of a secret, one a line: the new one and the old while receivers change over.

    Raises Permanent, which does not show the secret.
    """
    return tuple(_key(line.strip()) for line in secret.splitlines() if line.strip())


def headers_of(message_id: str, timestamp: int, body: bytes, keys: tuple[bytes, ...]) -> Mapping[str, str]:
    """Return the headers by which a receiver verifies that the message is ours, and drops one that it has already.

    `timestamp`: seconds since 1970, of this attempt; `message_id` is the same for every attempt.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    made = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{each}" for each in made),
    }


def _key(line: str) -> bytes:
    remedy = (
        f'a secret is {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes: echo "whsec_$(openssl rand -base64 32)"'
    )
    if not line.startswith(PREFIX):
        raise Permanent(f"the webhook's secret does not begin with {PREFIX}; {remedy}")
    try:
        key = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise Permanent(f"the webhook's secret is no base64; {remedy}") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise Permanent(f"the webhook's secret has {len(key)} bytes; {remedy}")
    return key
