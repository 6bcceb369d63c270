"""The signature of an event: CloudEvents' extension "Verifiable CloudEvents with DSSE", version 0.1.

https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/verifiability.md gives the digests; in Kafka's
binary content mode the attribute `dssematerial` is the header `ce_dssematerial`, in base64. Events are signed as they
are published, in binary mode; a structured message is not verified.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC
from hashlib import sha256
from typing import Any

from chassis.errors import Malformed
from chassis.signing.dsse import NotVerified, SignedBytes, Signer, Verifier, Why, signed, verified
from contracts.cloudevents import Encoded, Record, attributes, time_of

PAYLOAD_TYPE = "https://cloudevents.io/verifiability/dsse/v0.1"
HEADER = "ce_dssematerial"
CORE = ("ce_id", "ce_source", "ce_specversion", "ce_type", "content-type", "ce_dataschema", "ce_subject")
"""The core attributes in the order of the specification, before time and data."""
EXTENSIONS = ("correlationid", "causationid")
"""Signed too: whoever reads a story by them must be able to rely on them."""
EXACT_TIME = "exacttime"
"""A field of our own in what is signed, which other readers ignore: the digest of `ce_time` as it is written. The
specification signs the time to the second, and of two decisions of one second the later is in force."""
LONGEST = 16_384
"""Characters of the header: eight signatures take a quarter of it."""


def sign_event(encoded: Encoded, signers: Iterable[Signer]) -> Encoded:
    """Return the event with its signature as one more header."""
    headers = {name: value.decode() for name, value in encoded.headers}
    material = _material(headers, encoded.value, EXTENSIONS)
    envelope = signed(PAYLOAD_TYPE, json.dumps(material, separators=(",", ":")).encode(), signers)
    return encoded._replace(headers=[*encoded.headers, (HEADER, b64encode(envelope.to_json()))])


def verify_event(record: Record, keys: Verifier) -> str:
    """Return the id of the trusted key that signed the event in `record`.

    Raises NotVerified, with what is wrong, for one that is unsigned, of a key that is not trusted, or changed since.
    """
    if record.value is None or not record.key:
        raise NotVerified("no key or no value: nothing that could be signed", Why.UNREADABLE)
    try:
        headers = attributes(record)
    except Malformed as error:
        raise NotVerified(str(error), Why.UNREADABLE) from error
    if not headers.get(HEADER):
        raise NotVerified(f"not signed: it has no header {HEADER}", Why.UNSIGNED)
    if len(headers[HEADER]) > LONGEST:
        raise NotVerified(f"{HEADER} has {len(headers[HEADER]):,} characters; at most {LONGEST:,} are read")
    try:
        envelope = SignedBytes.from_json(b64decode(headers[HEADER], validate=True))
    except ValueError as error:
        raise NotVerified(f"{HEADER} is not base64: {error}") from error
    key_id = verified(envelope, PAYLOAD_TYPE, keys)
    claimed = _claimed(envelope.payload)
    found = _material(headers, record.value, tuple(claimed.get("signedextattrs", ())))
    if claimed != {name: found[name] for name in found if name != EXACT_TIME or EXACT_TIME in claimed}:
        changed = f"changed after key {key_id!r} signed it: its attributes or its data are not those signed"
        raise NotVerified(changed, Why.CHANGED)
    if headers.get("ce_subject", "").encode() != record.key:
        meant = f"signed for {headers.get('ce_subject')!r}, published with key {record.key[:200]!r}"
        raise NotVerified(meant, Why.RETARGETED)
    return key_id


def _claimed(payload: bytes) -> dict[str, Any]:
    """Return the signed digests; unknown fields are ignored. Raises NotVerified."""
    try:
        body = json.loads(payload)
        found = {name: body[name] for name in ("core", "ext", "signedextattrs", EXACT_TIME) if name in body}
    except (ValueError, TypeError, RecursionError) as error:
        raise NotVerified(f"the signed material is not a JSON object: {error}") from error
    names = found.get("signedextattrs", [])
    core = {name.removeprefix("ce_") for name in CORE} | {"time", "datacontenttype", "dssematerial"}
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
        or core & set(names)
        or ("ext" in found) != bool(names)
    ):
        raise NotVerified(f"signedextattrs {names!r} is not a list of distinct names of extensions")
    return found


def _material(headers: Mapping[str, str], data: bytes, extensions: tuple[str, ...]) -> dict[str, Any]:
    core = b"".join(_digest(headers.get(name, "").encode()) for name in CORE) + _digest(_time(headers)) + _digest(data)
    exact = b64encode(_digest(headers.get("ce_time", "").encode())).decode()
    found: dict[str, Any] = {"core": b64encode(_digest(core)).decode(), EXACT_TIME: exact}
    if extensions:
        values = b"".join(_digest(headers.get(f"ce_{name}", "").encode()) for name in extensions)
        found |= {"ext": b64encode(_digest(values)).decode(), "signedextattrs": list(extensions)}
    return found


def _time(headers: Mapping[str, str]) -> bytes:
    """In UTC, to the second, as the specification has it."""
    try:
        when = time_of(headers["ce_time"]) if headers.get("ce_time") else None
    except Malformed as error:
        raise NotVerified(str(error)) from error
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode() if when else b""


def _digest(content: bytes) -> bytes:
    return sha256(content).digest()
