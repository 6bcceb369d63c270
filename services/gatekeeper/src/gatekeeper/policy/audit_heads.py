"""The audit trail against its signed heads: finds the first rows that were rewritten by somebody who recomputed the
whole chain, which its own digests cannot show.

A digest depends on every row before it. So a head that the trail has proves all rows up to it, and the first head that
it does not have names the rows among which the first one was changed: those after the last head that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from gatekeeper.policy.hash_chain import GENESIS, Entry, Head


class Difference(StrEnum):
    REWRITTEN = "rewritten"
    TRUNCATED = "truncated"
    FORKED = "forked"


@dataclass(frozen=True)
class SignedHead:
    """A head that was published. `name`: its key. `problem`: why its signature does not hold; such a head is refused.

    `previous`: the one that was published before it, which it signs too.
    """

    name: str
    rows: int
    digest: str
    at: datetime
    key_id: str | None = None
    previous: Head | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Rewritten:
    """The first difference: one of the rows `first` to `last` is the first that is not what was written."""

    first: int
    last: int
    kind: Difference
    what: str


@dataclass(frozen=True)
class HeadsProof:
    """`proven`: rows up to the last head of an unbroken series that the trail has; `heads`: how many were compared.

    `refused`: heads whose signature does not hold, in words. `newest`: of the heads that were compared.
    """

    heads: int
    proven: int
    newest: SignedHead | None = None
    rewritten: Rewritten | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowDifference:
    """The first row that differs from a kept copy; `fields`: those that differ, as they were kept and as they are."""

    sequence: int
    what: str
    fields: Mapping[str, tuple[object, object]]


def noting(entries: Iterable[Entry], heads: Iterable[SignedHead], into: dict[int, str]) -> Iterator[Entry]:
    """Pass the rows through; note the digests at which heads were signed `into` a mapping by number of rows."""
    wanted = {each.rows for each in _statements(heads)}
    if 0 in wanted:
        into[0] = GENESIS
    for entry in entries:
        if entry.sequence in wanted:
            into[entry.sequence] = entry.digest
        yield entry


def compare(digests: Mapping[int, str], rows: int, heads: Sequence[SignedHead]) -> HeadsProof:
    """Compare an unbroken chain of `rows` rows with heads. `digests`: those that `noting` found.

    Heads that are refused prove nothing, in either direction.
    """
    refused = tuple(f"head {each.name}: {each.problem}" for each in heads if each.problem is not None)
    believed = [each for each in heads if each.problem is None]
    statements = sorted(_statements(believed), key=lambda each: (each.rows, each.at, each.digest))
    has = [each for each in statements if digests.get(each.rows) == each.digest]
    has_not = [each for each in statements if digests.get(each.rows) != each.digest]
    newest = max(believed, key=lambda each: (each.rows, each.at), default=None)
    if not has_not:
        return HeadsProof(len(believed), has[-1].rows if has else 0, newest, None, refused)
    first = has_not[0]
    proven = max((each.rows for each in has if each.rows < first.rows), default=0)
    return HeadsProof(len(believed), proven, newest, _rewritten(first, proven, rows, statements, has), refused)


def _rewritten(
    head: SignedHead, proven: int, rows: int, statements: Sequence[SignedHead], has: Sequence[SignedHead]
) -> Rewritten:
    signed = f"the head of row {head.rows} that was signed at {head.at.isoformat(timespec='seconds')}"
    if head.rows > rows:
        first, gone = rows + 1, head.rows
        if rows > proven:
            between = f"row {proven + 1} to the end may be others, too: no head after row {proven} matches"
        else:
            between = f"all {rows} rows that are left are as they were written"
        return Rewritten(
            first, gone, Difference.TRUNCATED, f"{signed} is beyond the trail, which has {rows} rows; {between}"
        )
    others = [each for each in statements if each.rows == head.rows and each.digest != head.digest]
    later = [each for each in has if each.rows >= head.rows]
    one = proven + 1 == head.rows
    rows_of = f"row {head.rows}" if one else f"rows {proven + 1} to {head.rows}"
    if others or later:
        other = (later or others)[0]
        return Rewritten(
            proven + 1,
            head.rows,
            Difference.FORKED,
            f"{signed} contradicts the one of row {other.rows} that was signed at"
            f" {other.at.isoformat(timespec='seconds')}: {rows_of} were signed twice, with different contents",
        )
    found = f"{rows_of} is" if one else f"at least one of the {rows_of} is"
    before = f"that of row {proven} is" if proven else "no earlier one is"
    return Rewritten(
        proven + 1,
        head.rows,
        Difference.REWRITTEN,
        f"{found} not what was written: {signed} is not in the chain, {before}",
    )


def _statements(heads: Iterable[SignedHead]) -> Iterator[SignedHead]:
    """Yield each head, and the one that it names as published before it: to remove that one from a topic is no use."""
    seen: set[tuple[int, str]] = set()
    named: list[SignedHead] = []
    for each in heads:
        seen.add((each.rows, each.digest))
        yield each
        if each.previous is not None:
            named.append(SignedHead(each.name, each.previous.count, each.previous.digest, each.at, each.key_id))
    yield from (each for each in named if (each.rows, each.digest) not in seen)


def first_difference(kept: Iterable[Entry], present: Iterable[Entry]) -> RowDifference | None:
    """Return the first row of a kept copy that the trail does not have as it was kept; None: it has them all.

    The trail may have more rows, which were written since.
    """
    now = iter(present)
    for entry in kept:
        found = next(now, None)
        if found is None:
            return RowDifference(entry.sequence, f"row {entry.sequence} was kept, and is gone", {})
        if found != entry:
            before, after = asdict(entry), asdict(found)
            fields = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
            names = ", ".join(name for name in fields if not name.endswith("digest")) or "digests only"
            return RowDifference(entry.sequence, f"row {entry.sequence} differs from the one kept: {names}", fields)
    return None
