"""Messages that a service gave up on, as the topic `dead-letters` has them now: a read model of that topic.

It is filled by `operations.letters`. The message itself stays on the topic; a row says where.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Integer, String, Text, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.columns import BigId, UtcDateTime
from chassis.database import Base
from contracts import MODEL_NAME_PATTERN
from contracts.dead_letters import DeadLetter
from gatekeeper.database.queries import insert_of
from gatekeeper.database.refused_records import storable
from gatekeeper.policy.undelivered import LONGEST_REASON, MOST, Letter

AT_A_TIME = 500


class DeadLetterRow(Base):
    """One letter; `at_partition` and `at_offset`: where it is on the topic `dead-letters`."""

    __tablename__ = "dead_letters"

    id: Mapped[str] = mapped_column(String(600), primary_key=True)
    service: Mapped[str] = mapped_column(String(200))
    topic: Mapped[str] = mapped_column(String(250))
    """Of the message, without prefix."""
    model_name: Mapped[str | None] = mapped_column(String(200))
    """Its key; None for a message whose key is no model's name."""
    error: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    bytes: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    at_partition: Mapped[int] = mapped_column(Integer)
    at_offset: Mapped[int] = mapped_column(BigId)


def model_of(letter: DeadLetter) -> str | None:
    """Return the model that a letter is about, as its key says."""
    key = (letter.key or b"").decode(errors="replace")
    return key if re.fullmatch(MODEL_NAME_PATTERN, key) else None


def put(session: Session, letters: Sequence[tuple[DeadLetter, int, int]]) -> None:
    """Add letters with their partition and offset on the topic, or replace them."""
    for start in range(0, len(letters), AT_A_TIME):
        rows = {
            letter.id: {
                "id": storable(letter.id)[:600],
                "service": storable(letter.service)[:200],
                "topic": storable(letter.topic)[:250],
                "model_name": model_of(letter),
                "error": storable(letter.error),
                "attempts": letter.attempts,
                "bytes": None if letter.value is None else len(letter.value),
                "at": letter.time,
                "at_partition": partition,
                "at_offset": offset,
            }
            for letter, partition, offset in letters[start : start + AT_A_TIME]
        }
        insert = insert_of(session)(DeadLetterRow).values(list(rows.values()))
        changes = {name: insert.excluded[name] for name in ("error", "attempts", "at", "at_partition", "at_offset")}
        session.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changes))


def remove(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(DeadLetterRow).where(DeadLetterRow.id.in_(ids)))


def remove_others(session: Session, ids: Collection[str]) -> None:
    """Remove the letters that are no longer on the topic: all but these."""
    gone = set(session.scalars(select(DeadLetterRow.id))) - set(ids)
    found = sorted(gone)
    for start in range(0, len(found), AT_A_TIME):
        remove(session, found[start : start + AT_A_TIME])


def by_id(session: Session, letter_id: str) -> DeadLetterRow | None:
    return None if "\0" in letter_id else session.get(DeadLetterRow, letter_id)


def newest(session: Session, visible: Collection[str] | None, limit: int) -> Sequence[DeadLetterRow]:
    """Return letters, newest first; `visible`: of these models only, None: all, those of no model, too."""
    query = select(DeadLetterRow).order_by(DeadLetterRow.at.desc(), DeadLetterRow.id).limit(limit)
    if visible is not None:
        query = query.where(DeadLetterRow.model_name.in_(visible))
    return session.scalars(query).all()


def unhandled(session: Session, visible: Collection[str] | None) -> list[Letter]:
    """Return what the first page says of letters, newest first; `visible` as of `newest`."""
    columns = (DeadLetterRow.model_name, DeadLetterRow.service, DeadLetterRow.topic, DeadLetterRow.at)
    query = select(*columns, func.substr(DeadLetterRow.error, 1, LONGEST_REASON + 1))
    query = query.order_by(DeadLetterRow.at.desc(), DeadLetterRow.id).limit(MOST)
    if visible is not None:
        query = query.where(DeadLetterRow.model_name.in_(visible))
    return [Letter(*row) for row in session.execute(query)]


def count(session: Session, most: int) -> int:
    """Return how many letters there are, up to `most`."""
    some = select(DeadLetterRow.id).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
