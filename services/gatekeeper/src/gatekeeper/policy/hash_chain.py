"""The hash chain of the audit trail: links each row to the previous one, and finds where a chain is broken.

The chain has no key: it detects changes, unless the whole trail was rewritten. Against that there are signed heads
(`audit_heads`), or the head's digest, noted where the owner of this database cannot write.
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
"""Previous digest of the first row."""


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


UNREADABLE = Entry(0, datetime.min.replace(tzinfo=UTC), "", "", "", None, "", {}, None, "")
"""Stands, with its sequence, for a row whose values cannot be what was written."""


@dataclass(frozen=True)
class Head:
    """Stored separately from the rows: their number, and the digest of the last one."""

    count: int
    digest: str


@dataclass(frozen=True)
class Break:
    """The first position at which the trail differs from what was written."""

    sequence: int
    kind: Kind
    what: str


@dataclass(frozen=True)
class Proof:
    """`rows`: number of verified rows; `digest`: of the last row of an intact trail, to be noted elsewhere.

    `noted_at`: the verified row whose digest was noted before.
    """

    rows: int
    digest: str | None
    broken: Break | None = None
    noted_at: int | None = None


def linked(entry: Entry) -> Entry:
    """Return the entry with its digest. Raises TypeError or ValueError if it has no canonical form."""
    return replace(entry, digest=digest_of(entry))


def digest_of(entry: Entry) -> str:
    return "sha256:" + hashlib.sha256(canonical(entry)).hexdigest()


def canonical(entry: Entry) -> bytes:
    """Serialize as ASCII JSON: sorted keys, no spaces, times in UTC to the microsecond, numbers as in `plain`."""
    fields = asdict(entry)
    del fields["digest"]
    fields["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    fields["evidence"] = plain(entry.evidence)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def to_line(entry: Entry) -> str:
    """Return a row as one line of JSON, as `canonical` has it, and its digest; of an unreadable one its number."""
    try:
        return json.dumps({**json.loads(canonical(entry)), "digest": entry.digest}, separators=(",", ":"))
    except (TypeError, ValueError):
        return json.dumps({"sequence": entry.sequence}, separators=(",", ":"))


def from_line(line: str) -> Entry:
    """Return the row of a line; an unreadable one stays so. Raises ValueError for what `to_line` did not write."""
    try:
        body = json.loads(line)
        if set(body) == {"sequence"}:
            return replace(UNREADABLE, sequence=int(body["sequence"]))
        return Entry(**{**body, "at": datetime.fromisoformat(body["at"])})
    except (TypeError, LookupError, ValueError, RecursionError) as error:
        raise ValueError(f"no row of an audit trail: {type(error).__name__}; it begins {line[:60]!r}") from error


def plain(value: Any) -> Any:
    """Normalize to values that every database returns unchanged: PostgreSQL has no 1.0e23 or -0.0, only decimals.

    Integral floats become integers. Raises ValueError for NaN and infinity, TypeError for what is not JSON.
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
    """Verify the chain, in the order of `sequence`, up to its end or its first break."""
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
    if intact:  # so the previous row was replaced
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
    """Classify a row that is neither linked nor intact at its position, by whether it is intact at another one."""
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
