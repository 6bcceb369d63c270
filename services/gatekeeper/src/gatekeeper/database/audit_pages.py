"""The audit trail a page at a time: by model, who decided, and what; each page reads a bounded number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gatekeeper.database.tables import AuditHeadRow, AuditRow

LOOKED_THROUGH = 2000
"""Rows that one page looks through at most, however few of them fit."""
AT_ONCE = 200


@dataclass(frozen=True)
class Filter:
    """What rows must have; None: anything."""

    model_name: str | None = None
    actor: str | None = None
    action: str | None = None

    def fits(self, row: AuditRow) -> bool:
        given = ((self.model_name, row.model_name), (self.actor, row.actor), (self.action, row.action))
        return all(wanted is None or wanted == found for wanted, found in given)


@dataclass(frozen=True)
class Page:
    """`rows`: newest first. `older`: the sequence before which the next page begins; None: the trail's begin was
    reached. `looked_through`: rows that were read for it."""

    rows: Sequence[AuditRow]
    older: int | None
    looked_through: int


def page(
    session: Session,
    wanted: Filter,
    limit: int,
    before: int | None = None,
    sees: Callable[[str], bool] = lambda _: True,
) -> Page:
    """Return rows that fit, of models that `sees` lets see, older than `before`.

    An index gives the rows of one part of the filter in their order; the other parts, and what may be seen, are
    compared row by row. So that this ends, it stops after LOOKED_THROUGH rows, and the next page goes on from there.
    """
    query = select(AuditRow).order_by(AuditRow.sequence.desc()).limit(AT_ONCE)
    for column, value in (
        (AuditRow.model_name, wanted.model_name),
        (AuditRow.actor, wanted.actor),
        (AuditRow.action, wanted.action),
    ):
        if value is not None:
            query = query.where(column == value)
            break
    found: list[AuditRow] = []
    looked_through = 0
    while looked_through < LOOKED_THROUGH:
        older = query if before is None else query.where(AuditRow.sequence < before)
        rows = session.scalars(older).all()
        for row in rows:
            if len(found) == limit:
                return Page(found, before, looked_through)
            looked_through, before = looked_through + 1, row.sequence
            if wanted.fits(row) and sees(row.model_name):
                found.append(row)
        if len(rows) < AT_ONCE:
            return Page(found, None, looked_through)
    return Page(found, before, looked_through)


def head_of(session: Session) -> tuple[int, str]:
    """Return the number of rows and the digest of the last one."""
    row = session.scalars(select(AuditHeadRow)).one()
    return row.count, row.digest
