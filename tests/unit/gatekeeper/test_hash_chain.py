"""The chain of the audit trail, without a database: canonical form, links, and each way to break it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gatekeeper.policy.hash_chain import GENESIS, Entry, Head, Kind, canonical, digest_of, linked, plain, verify

AT = datetime(2013, 6, 1, 12, tzinfo=UTC)


def trail(rows: int) -> list[Entry]:
    found: list[Entry] = []
    for number in range(1, rows + 1):
        last = found[-1].digest if found else GENESIS
        entry = Entry(number, AT, "ann", "judged", "m", number, "why", {"k": number}, None, last)
        found.append(linked(entry))
    return found


def head(entries: list[Entry]) -> Head:
    return Head(len(entries), entries[-1].digest if entries else GENESIS)


def renumbered(entries: list[Entry]) -> list[Entry]:
    """As somebody leaves them who hides that rows were moved, taken out or put in."""
    return [replace(entry, sequence=number) for number, entry in enumerate(entries, 1)]


WHOLE = trail(7)
FORGED = linked(replace(WHOLE[3], actor="eve", sequence=5, previous_digest=WHOLE[3].digest))

BROKEN = {
    "a field was changed": ([*WHOLE[:3], replace(WHOLE[3], actor="eve"), *WHOLE[4:]], 4, Kind.CHANGED),
    "the time was changed": ([replace(WHOLE[0], at=AT + timedelta(microseconds=1)), *WHOLE[1:]], 1, Kind.CHANGED),
    "a field and its digest were changed": (
        [*WHOLE[:3], linked(replace(WHOLE[3], actor="eve")), *WHOLE[4:]],
        4,
        Kind.CHANGED,
    ),
    "the first row and its digest were changed": (
        [linked(replace(WHOLE[0], actor="eve")), *WHOLE[1:]],
        1,
        Kind.CHANGED,
    ),
    "the last row and its digest were changed": ([*WHOLE[:6], linked(replace(WHOLE[6], actor="eve"))], 7, Kind.CHANGED),
    "a row in the middle was taken out": ([*WHOLE[:3], *WHOLE[4:]], 4, Kind.MISSING),
    "two were taken out": ([*WHOLE[:2], *WHOLE[4:]], 3, Kind.MISSING),
    "the first was taken out": (WHOLE[1:], 1, Kind.MISSING),
    "one was taken out and the numbers closed up": (renumbered([*WHOLE[:3], *WHOLE[4:]]), 4, Kind.MISSING),
    "the last was taken out": (WHOLE[:6], 7, Kind.TRUNCATED),
    "all were taken out": ([], 1, Kind.TRUNCATED),
    "neighbours were swapped": (renumbered([*WHOLE[:2], WHOLE[3], WHOLE[2], *WHOLE[4:]]), 3, Kind.REORDERED),
    "the first and the last were swapped": (renumbered([WHOLE[6], *WHOLE[1:6], WHOLE[0]]), 1, Kind.REORDERED),
    "one was moved to the end": (renumbered([*WHOLE[:2], *WHOLE[3:], WHOLE[2]]), 3, Kind.REORDERED),
    "a forged row was appended": (
        [*WHOLE, linked(replace(WHOLE[6], sequence=8, previous_digest=WHOLE[6].digest))],
        8,
        Kind.ADDED,
    ),
    "a forged row was put in": (renumbered([*WHOLE[:4], FORGED, *WHOLE[4:]]), 5, Kind.ADDED),
    "a row was put in before the first": ([replace(WHOLE[0], sequence=0), *WHOLE], 1, Kind.ADDED),
}


@pytest.mark.parametrize(("entries", "sequence", "kind"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_trail_is_found_at_its_first_broken_place(entries, sequence, kind):
    proof = verify(iter(entries), head(WHOLE))
    assert proof.broken is not None
    assert (proof.broken.sequence, proof.broken.kind) == (sequence, kind), proof.broken.what
    assert (proof.rows, proof.digest) == (sequence - 1, None)


def test_a_whole_trail_is_verified_to_its_head():
    proof = verify(iter(WHOLE), head(WHOLE))
    assert (proof.broken, proof.rows, proof.digest) == (None, 7, WHOLE[6].digest)
    empty = verify([], head([]))
    assert (empty.broken, empty.rows, empty.digest) == (None, 0, GENESIS)


def test_a_trail_without_its_head_is_broken():
    assert verify(WHOLE, None).broken.kind is Kind.TRUNCATED


def test_a_trail_written_anew_is_found_by_a_head_that_was_noted_elsewhere():
    noted = WHOLE[4].digest
    assert verify(WHOLE, head(WHOLE), noted).noted_at == 5
    assert verify(WHOLE, head(WHOLE), GENESIS).noted_at == 0
    forged: list[Entry] = []
    for entry in [*WHOLE[:3], replace(WHOLE[3], actor="eve"), *WHOLE[4:]]:
        forged.append(linked(replace(entry, previous_digest=forged[-1].digest if forged else GENESIS)))
    proof = verify(forged, head(forged), noted)
    assert proof.broken is None, "it is consistent in itself"
    assert proof.noted_at is None


@pytest.mark.parametrize("field", [name for name in Entry.__dataclass_fields__ if name != "digest"])
def test_every_field_is_in_the_digest(field):
    other = {"sequence": 9, "at": AT + timedelta(1), "model_version": 9, "evidence": {"k": 9}}.get(field, "other")
    assert digest_of(replace(WHOLE[3], **{field: other})) != WHOLE[3].digest


def test_the_canonical_form_is_what_it_always_was():
    """Changing it would break every trail that exists."""
    entry = Entry(1, AT, "Zoë", "judged", "m", None, 'a "b"', {"z": [1.0, 0.1, -0.0, 1e23], "a": None}, None, GENESIS)
    assert canonical(entry).decode() == (
        '{"action":"judged","actor":"Zo\\u00eb","at":"2013-06-01T12:00:00.000000+00:00","correlation_id":null,'
        '"evidence":{"a":null,"z":[1,0.1,0,99999999999999991611392]},"model_name":"m","model_version":null,'
        f'"previous_digest":"{GENESIS}","reason":"a \\"b\\"","sequence":1}}'
    )
    assert digest_of(entry) == "sha256:cf56a77aff6fa2c95bad7d0e69b16ba268d34f942d61cd66639c47c5c8c5b982"


def test_the_same_moment_in_another_time_zone_has_the_same_digest():
    here = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert digest_of(replace(WHOLE[0], at=here)) == WHOLE[0].digest


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1: 2}, {"a": AT}, b"x", {"a", "b"}])
def test_what_no_database_would_give_back_alike_is_refused(value):
    with pytest.raises((TypeError, ValueError), match="cannot be kept"):
        plain({"evidence": value})
