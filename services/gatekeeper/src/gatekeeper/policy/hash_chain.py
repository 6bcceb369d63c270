"""The hash chain of the audit trail: how a row is linked to the one before, and where a chain is broken.

The chain has no key: it finds what was changed by whoever did not write the whole trail anew. Against that, note the
head's digest where this database's owner cannot write, and verify with it later.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

GENESIS = "sha256:" + "0" * 64
"""What the first row links to."""


class Kind(StrEnum):
    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"
    ADDED = "added"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class Entry:
    """One row. `sequence` counts from 1 without gaps; `digest` is over all other fields."""

    sequence: int
    at: datetime
    actor: str
    action: str
    model_name: str
    model_version: int | None
    reason: str
    evidence: dict[str, Any]
    correlation_id: str | None
    previous_digest: str
    digest: str = ""


@dataclass(frozen=True)
class Head:
    """What is kept beside the rows: how many there are, and the last one's digest."""

    count: int
    digest: str


@dataclass(frozen=True)
class Break:
    """The first place at which the trail is not what was written."""

    sequence: int
    kind: Kind
    what: str


@dataclass(frozen=True)
class Proof:
    """`rows` are verified; `digest` is the last one's, of a trail that is whole, for noting it elsewhere.

    `noted_at` is the verified row whose digest was noted before.
    """

    rows: int
    digest: str | None
    broken: Break | None = None
    noted_at: int | None = None


def linked(entry: Entry) -> Entry:
    """The entry with its digest. Raises TypeError or ValueError for what has no canonical form."""
    return replace(entry, digest=digest_of(entry))


def digest_of(entry: Entry) -> str:
    return "sha256:" + hashlib.sha256(canonical(entry)).hexdigest()


def canonical(entry: Entry) -> bytes:
    """JSON in ASCII, keys sorted, no spaces, times in UTC to the microsecond, numbers as `plain` has them."""
    fields = asdict(entry)
    del fields["digest"]
    fields["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    fields["evidence"] = plain(entry.evidence)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """What comes back alike from every database: PostgreSQL keeps JSON numbers as decimals and knows no 1.0e23 or -0.0.

    Whole floats become integers. Raises ValueError for NaN and infinity, TypeError for what is not JSON.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be kept in the audit trail")
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str(key): plain(item) for key, item in value.items()}
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be kept in the audit trail")


def verify(entries: Iterable[Entry], head: Head | None, noted: str | None = None) -> Proof:
    """Follow the chain, in the order of `sequence`, to its end or its first broken place."""
    rows, last, noted_at = 0, GENESIS, 0 if noted == GENESIS else None
    rest = iter(entries)
    broken: Break | None = None
    for entry in rest:
        broken = _broken(entry, rows + 1, last, head, rest)
        if broken is not None:
            break
        rows, last = rows + 1, entry.digest
        if last == noted:
            noted_at = rows
    broken = broken or _ends_wrong(rows, last, head)
    if broken is None:
        return Proof(rows, last, None, noted_at)
    whole = min(rows, broken.sequence - 1)
    return Proof(whole, None, broken, noted_at if noted_at is not None and noted_at <= whole else None)


def _broken(entry: Entry, place: int, last: str, head: Head | None, rest: Iterator[Entry]) -> Break | None:
    if entry.sequence > place:
        gone = f"row {place} is" if entry.sequence == place + 1 else f"rows {place} to {entry.sequence - 1} are"
        return Break(place, Kind.MISSING, f"{gone} gone")
    if entry.sequence < 1:
        return Break(1, Kind.ADDED, f"row {entry.sequence} was not written by the gatekeeper: rows count from 1")
    if entry.sequence < place:
        return Break(place, Kind.REORDERED, f"row {entry.sequence} stands where row {place} should")
    follows, intact = entry.previous_digest == last, _is_intact(entry)
    if follows and intact:
        if head is not None and place > head.count:
            known = f"only {head.count} rows are known to have been written"
            return Break(place, Kind.ADDED, f"row {place} was not written by the gatekeeper: {known}")
        return None
    if follows:
        return Break(place, Kind.CHANGED, f"row {place} does not say what it said when it was written")
    if intact:  # so the row before is another than this one was written after
        if place == 1:
            return Break(1, Kind.CHANGED, "row 1 does not begin the chain: it was replaced")
        return Break(place - 1, Kind.CHANGED, f"row {place - 1} is not the one after which row {place} was written")
    return _moved(entry, place, head, rest)


def _is_intact(entry: Entry) -> bool:
    try:
        return digest_of(entry) == entry.digest
    except (TypeError, ValueError):  # content that `linked` would have refused
        return False


def _moved(entry: Entry, place: int, head: Head | None, rest: Iterator[Entry]) -> Break:
    """Neither intact in this place nor following: is it intact in another place?"""
    most = max(head.count if head else 0, place) + 1
    was = next((k for k in range(1, most + 1) if _is_intact(replace(entry, sequence=k))), None)
    if was is None:
        return Break(place, Kind.CHANGED, f"row {place} does not say what it said when it was written")
    here = f"what stands at {place} was written as row {was}"
    if was < place:
        return Break(was, Kind.ADDED, f"a row was put in at {was}: {here}")
    if any(other.digest == entry.previous_digest for other in rest):
        return Break(place, Kind.REORDERED, f"rows were moved: {here}")
    return Break(place, Kind.MISSING, f"row {place} is gone and the numbers were closed up: {here}")


def _ends_wrong(rows: int, last: str, head: Head | None) -> Break | None:
    if head is None:
        return Break(rows + 1, Kind.TRUNCATED, "the record of how many rows there are (audit_head) is gone")
    if rows < head.count:
        gone = f"row {head.count} is" if head.count == rows + 1 else f"rows {rows + 1} to {head.count} are"
        return Break(rows + 1, Kind.TRUNCATED, f"the trail was cut off: {gone} gone")
    if last != head.digest:
        return Break(rows, Kind.CHANGED, f"row {rows} is not the one that was written last")
    return None
