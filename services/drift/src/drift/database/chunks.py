"""The rows of windows as chunks of columns: appended, read and deleted. The model is locked for changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from chassis.columns import from_microseconds, microseconds
from drift.database import places
from drift.database.columns import Columns, concatenated, decoded
from drift.database.tables import ChunkRow, VersionRow, WindowRow

SMALL = 4096
"""Most rows of a chunk that others are merged into."""
AT_ONCE = 50_000
"""Rows that are deleted in one transaction, or a few more: it blocks ingestion."""


def append(session: Session, window: WindowRow, columns: Columns) -> None:
    """Store rows behind those of the window, whose `rows` does not count them yet.

    A chunk takes up those before it that are not larger, so that a trickle of rows leaves a few chunks, each row of
    which was written a few times.
    """
    first, parts = window.rows, [columns]
    while found := _mergeable(session, window, first, sum(map(len, parts))):
        parts.insert(0, decoded(found.data, found.kinds))
        first = found.first
        session.execute(delete(ChunkRow).where(ChunkRow.window_key == window.key, ChunkRow.first == first))
        session.expunge(found)
    whole = concatenated(parts) if len(parts) > 1 else columns
    made_from, made_until = map(from_microseconds, whole.made())
    chunk = ChunkRow(
        window_key=window.key,
        first=first,
        rows=len(whole),
        made_from=made_from,
        made_until=made_until,
        kinds=whole.kinds,
        data=whole.encoded(),
    )
    session.add(chunk)
    session.flush()
    session.expunge(chunk)  # a large batch has many


def kinds_of(session: Session, window: WindowRow) -> list[tuple[int, dict[str, str]]]:
    """Return the number of rows, and how each column is typed, of the window's chunks, in order."""
    query = select(ChunkRow.rows, ChunkRow.kinds).where(ChunkRow.window_key == window.key).order_by(ChunkRow.first)
    return [(rows, kinds) for rows, kinds in session.execute(query)]


def chunks_of(session: Session, window_key: int) -> Iterator[Columns]:
    """Yield the chunks of a window in order; one at a time is in memory."""
    keys = select(ChunkRow.first).where(ChunkRow.window_key == window_key).order_by(ChunkRow.first)
    for first in session.scalars(keys).all():
        query = select(ChunkRow.data, ChunkRow.kinds)
        data, kinds = session.execute(query.where(ChunkRow.window_key == window_key, ChunkRow.first == first)).one()
        yield decoded(data, kinds)


def predicted_since(session: Session, model_name: str, model_version: int, since: datetime) -> int:
    """Return how many rows of the version's windows were made at `since` or later."""
    of_version = (WindowRow.model_name == model_name, WindowRow.model_version == model_version)
    query = select(func.coalesce(func.sum(ChunkRow.rows), 0)).join(WindowRow, WindowRow.key == ChunkRow.window_key)
    count = int(session.scalar(query.where(*of_version, ChunkRow.made_from >= since)) or 0)
    astride = select(ChunkRow.data, ChunkRow.kinds).join(WindowRow, WindowRow.key == ChunkRow.window_key)
    bound = microseconds(since)
    for data, kinds in session.execute(
        astride.where(*of_version, ChunkRow.made_from < since, ChunkRow.made_until >= since)
    ):
        count += sum(made >= bound for made in decoded(data, kinds).values("made_at"))
    return count


def prune(session: Session, version: VersionRow, window: WindowRow) -> bool:
    """Delete rows of the window, and record the time of the newest; return whether all are deleted.

    `known_until` is that of the whole window from the first time on: rows that are gone must not come again.
    """
    of_window = ChunkRow.window_key == window.key
    newest = session.scalar(select(func.max(ChunkRow.made_until)).where(of_window))
    if newest is not None:
        version.known_until = max(newest, version.known_until or newest)
    deleted = 0
    while deleted < AT_ONCE:
        query = select(ChunkRow.first, ChunkRow.data, ChunkRow.kinds).where(of_window).order_by(ChunkRow.first)
        found = session.execute(query.limit(1)).first()
        if found is None:
            places.forget_labels(session, window.key)
            window.pruned = True
            return True
        columns = decoded(found.data, found.kinds)
        places.forget(session, columns.values("key"))
        session.execute(delete(ChunkRow).where(of_window, ChunkRow.first == found.first))
        deleted += len(columns)
    return False


def _mergeable(session: Session, window: WindowRow, before: int, rows: int) -> ChunkRow | None:
    """Return the chunk that ends at `before`, if it is not larger than `rows`, and both together are small."""
    query = select(ChunkRow.first).where(ChunkRow.window_key == window.key, ChunkRow.first < before)
    first = session.scalar(query.order_by(ChunkRow.first.desc()).limit(1))
    if first is None or before - first > rows or before - first + rows > SMALL:
        return None
    return session.get(ChunkRow, (window.key, first))
