"""An exported audit trail, verified against signed heads and against an earlier export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chassis import record_files
from chassis.errors import Malformed, Permanent
from chassis.kafka import LARGEST_MESSAGE
from chassis.signing.dsse import NotVerified, Verifier
from chassis.signing.event_signature import verify_event
from contracts import AuditHeadSigned
from contracts.audit import head_key
from contracts.cloudevents import Record, decode
from gatekeeper.policy.audit_heads import SignedHead, compare, first_difference, noting
from gatekeeper.policy.hash_chain import GENESIS, Entry, Head, from_line, verify

HEAD = '{"head":'


class Export:
    """The rows of an exported trail, read again at each iteration, and its head. Raises Permanent for another file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.head = self._read_head()

    def __iter__(self) -> Iterator[Entry]:
        with self._lines() as lines:
            for number, line in enumerate(lines, 1):
                if line.startswith(HEAD):
                    return
                try:
                    yield from_line(line)
                except ValueError as error:
                    raise Permanent(f"{self._path}, line {number}: {error}") from error

    def _read_head(self) -> Head | None:
        last = ""
        with self._lines() as lines:
            for line in lines:
                last = line
        try:
            body = json.loads(last)["head"]
            return None if body is None else Head(int(body["count"]), str(body["digest"]))
        except (ValueError, LookupError, TypeError) as error:
            raise Permanent(
                f"{self._path} is no complete export of an audit trail: its last line is no head; make it again with"
                " gauntlet audit export"
            ) from error

    def _lines(self) -> Any:
        try:
            return self._path.open(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Permanent(f"{self._path} cannot be read: {error}") from error


def read_heads(paths: Sequence[Path], keys: Verifier | None) -> list[SignedHead]:
    """Return the heads of files of records, each once; without `keys`, their signatures are not verified.

    Raises Permanent for a file that holds no records.
    """
    records = dict.fromkeys(record for path in paths for record in record_files.read(path))
    return [head_of(record, keys) for record in records if record.value is not None]


def head_of(record: Record, keys: Verifier | None) -> SignedHead:
    """Return the head in a record; something else is a head that is refused."""
    try:
        event = decode(record, LARGEST_MESSAGE).data
    except Malformed as error:
        return _none(record, str(error))
    if not isinstance(event, AuditHeadSigned):
        return _none(record, f"it is a {type(event).__name__}")
    previous = None if event.previous is None else Head(event.previous.rows, event.previous.digest)
    problem = None if keys is None else _problem(record, event, keys)
    key_id = None if keys is None or problem else event.key_id
    return SignedHead(event.model_name, event.rows, event.digest, event.signed_at, key_id, previous, problem)


def _none(record: Record, problem: str) -> SignedHead:
    name = (record.key or b"")[:100].decode(errors="replace")
    return SignedHead(name, 0, GENESIS, datetime.fromtimestamp(0, UTC), problem=f"no audit head: {problem}")


def _problem(record: Record, event: AuditHeadSigned, keys: Verifier) -> str | None:
    try:
        key_id = verify_event(record, keys)
    except NotVerified as error:
        return str(error)
    if key_id != event.key_id:
        return f"it names the key {event.key_id!r}, and {key_id!r} signed it"
    if event.model_name != head_key(event.rows, event.digest):
        return "its key is not that of its rows and digest"
    return None


def verify_trail(export: Export, heads: Sequence[SignedHead], kept: Export | None) -> dict[str, Any]:
    """Return what was found, as JSON: `broken` of the chain, `rewritten` by the heads, `differs` from the kept copy."""
    digests: dict[int, str] = {}
    proof = verify(noting(export, heads, digests), export.head)
    by_heads = compare(digests, proof.rows, heads) if proof.broken is None else None
    difference = None
    if kept is not None:
        whole = verify(kept, kept.head)
        if whole.broken is not None:
            raise Permanent(f"the kept copy is itself broken at row {whole.broken.sequence}: {whole.broken.what}")
        difference = first_difference(kept, export)
    return {
        "rows": proof.rows,
        "digest": proof.digest,
        "broken": as_json(proof.broken),
        "heads": as_json(by_heads),
        "differs": as_json(difference),
    }


def as_json(value: Any) -> Any:
    """Return dataclasses, alone or in a list, as JSON has them."""
    if isinstance(value, list):
        return [as_json(each) for each in value]
    return None if value is None else json.loads(json.dumps(asdict(value), default=_text))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
