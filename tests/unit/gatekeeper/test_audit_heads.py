"""The audit trail against signed heads, without keys or topics: which rows a whole recomputed chain has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.policy.audit_heads import Difference, HeadsProof, SignedHead, compare, first_difference, noting
from gatekeeper.policy.hash_chain import GENESIS, Entry, Head, linked, verify

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def trail(rows: int, changed: int | None = None) -> list[Entry]:
    """A chain; with `changed`, as somebody leaves it who changes that row and recomputes the digests from there on."""
    found: list[Entry] = []
    for number in range(1, rows + 1):
        why = "another reason" if number == changed else "why"
        last = found[-1].digest if found else GENESIS
        found.append(linked(Entry(number, AT, "ann", "judged", "m", number, why, {}, None, last)))
    return found


WHOLE = trail(300)


def head(rows: int, of: Sequence[Entry] = WHOLE, hours: int | None = None, previous: int | None = None) -> SignedHead:
    named = None if previous is None else Head(previous, of[previous - 1].digest)
    digest = of[rows - 1].digest if rows else GENESIS
    return SignedHead(f"h{rows}", rows, digest, AT + timedelta(hours=rows if hours is None else hours), "k", named)


HEADS = [head(100), head(200), head(300)]


def proof(rows: Sequence[Entry], heads: Sequence[SignedHead]) -> HeadsProof:
    digests: dict[int, str] = {}
    end = Head(len(rows), rows[-1].digest if rows else GENESIS)
    whole = verify(noting(rows, heads, digests), end)
    assert whole.broken is None, "a recomputed chain is consistent in itself"
    return compare(digests, whole.rows, heads)


def test_a_trail_that_has_every_head_is_what_was_written() -> None:
    found = proof(WHOLE, HEADS)
    assert (found.rewritten, found.proven, found.heads, found.newest) == (None, 300, 3, HEADS[2])
    longer = proof(trail(310), HEADS)
    assert (longer.rewritten, longer.proven) == (None, 300), "rows since the last head are proven by none yet"
    assert proof([], [head(0)]).rewritten is None
    assert proof(WHOLE, []) == HeadsProof(0, 0)


@pytest.mark.parametrize(
    ("present", "heads", "expected"),
    [
        (trail(300, 150), HEADS, (101, 200, Difference.REWRITTEN, 100)),
        (trail(300, 100), HEADS, (1, 100, Difference.REWRITTEN, 0)),
        (trail(300, 101), HEADS, (101, 200, Difference.REWRITTEN, 100)),
        (trail(300, 300), HEADS, (201, 300, Difference.REWRITTEN, 200)),
        (trail(300, 300), [*HEADS, head(299)], (300, 300, Difference.REWRITTEN, 299)),
        (trail(310, 305), HEADS, None),
        (trail(250), HEADS, (251, 300, Difference.TRUNCATED, 200)),
        (trail(200), HEADS, (201, 300, Difference.TRUNCATED, 200)),
        (trail(250, 150), HEADS, (101, 200, Difference.REWRITTEN, 100)),
        (trail(250, 230), HEADS, (251, 300, Difference.TRUNCATED, 200)),
        ([], HEADS, (1, 100, Difference.TRUNCATED, 0)),
        (trail(300, 150), [*HEADS, head(300, trail(300, 150))], (101, 200, Difference.FORKED, 100)),
        (WHOLE, [*HEADS, head(200, trail(300, 150))], (101, 200, Difference.FORKED, 100)),
        (trail(300, 20), [head(200), head(200, trail(300, 30))], (1, 200, Difference.FORKED, 0)),
        (trail(300, 150), [head(300, previous=200), head(100)], (101, 200, Difference.REWRITTEN, 100)),
        (trail(300, 150), [head(300)], (1, 300, Difference.REWRITTEN, 0)),
        (trail(300, 150), list(reversed(HEADS)), (101, 200, Difference.REWRITTEN, 100)),
    ],
)
def test_the_rows_are_named_among_which_the_first_was_changed(
    present: list[Entry], heads: list[SignedHead], expected: tuple[int, int, Difference, int] | None
) -> None:
    found = proof(present, heads)
    seen = found.rewritten and (found.rewritten.first, found.rewritten.last, found.rewritten.kind, found.proven)
    assert seen == expected
    if found.rewritten is not None:
        assert f"row {found.rewritten.last}" in found.rewritten.what


def test_the_sentence_says_which_head_and_what_follows() -> None:
    rewritten = proof(trail(300, 150), HEADS).rewritten
    assert rewritten is not None and rewritten.what == (
        "at least one of the rows 101 to 200 is not what was written: the head of row 200 that was signed at"
        " 2026-06-09T20:00:00+00:00 is not in the chain, that of row 100 is"
    )
    cut = proof(trail(200), HEADS).rewritten
    assert cut is not None and "all 200 rows that are left are as they were written" in cut.what
    doubtful = proof(trail(250), HEADS).rewritten
    assert doubtful is not None and "no head after row 200 matches" in doubtful.what


@pytest.mark.parametrize("problem", ["not signed", "no trusted key made the signature"])
def test_a_head_whose_signature_does_not_hold_proves_nothing_and_accuses_nobody(problem: str) -> None:
    forged = replace(head(200, trail(300, 150)), name="forged", problem=problem)
    found = proof(WHOLE, [*HEADS, forged])
    assert (found.rewritten, found.proven, found.heads) == (None, 300, 3)
    assert found.refused == (f"head forged: {problem}",)
    only = proof(trail(300, 150), [forged])
    assert (only.heads, only.proven, only.newest) == (0, 0, None), "and one that fits the forgery proves it no more"


def test_a_kept_copy_names_the_row() -> None:
    assert first_difference(WHOLE, WHOLE) is None
    assert first_difference(WHOLE[:200], WHOLE) is None, "rows were added since"
    changed = first_difference(WHOLE, trail(300, 150))
    assert changed is not None and (changed.sequence, changed.fields["reason"]) == (150, ("why", "another reason"))
    assert changed.what == "row 150 differs from the one kept: reason"
    gone = first_difference(WHOLE, WHOLE[:250])
    assert gone is not None and (gone.sequence, gone.what) == (251, "row 251 was kept, and is gone")
