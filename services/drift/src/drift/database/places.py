"""Where each row is, and its label: one narrow row each, so the statements go to the driver as they are.

SQLite takes a list of tuples, PostgreSQL one array a column: both a microsecond or two a row. The model is locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete
from sqlalchemy.orm import Session

from drift.database.tables import GivenRow

AT_A_TIME = 1000
"""Values of one IN (…) in SQLite."""

TYPES = {"seat": "int", "labelled": "smallint", "label": "text"}
"""Of PostgreSQL; all other columns are bigint."""

PLACES = ("key", "window_key", "seat", "unit", "made_at", "event_time", "labelled")
GIVEN = ("window_key", "seat", "label", "labelled_at")
LABELS = ("key", "unit", "event_time", "label", "sent_at", "received_at")


class Place(NamedTuple):
    """Times are microseconds since 1970."""

    key: int
    window_key: int
    seat: int
    unit: int | None
    made_at: int
    event_time: int | None
    labelled: int = 0


class Given(NamedTuple):
    """The label of a row of a window."""

    window_key: int
    seat: int
    label: str
    labelled_at: int | None


class Label(NamedTuple):
    """A label as it is stored: JSON; `sent_at`, and `event_time`, in microseconds."""

    key: int
    unit: int | None
    event_time: int | None
    label: str
    sent_at: int
    received_at: int


def known(session: Session, keys: Sequence[int]) -> set[int]:
    """Return those of the keys that rows of windows have."""
    return {key for (key,) in _in(session, "SELECT key FROM drift_places WHERE key", keys)}


def add(session: Session, places: Sequence[tuple[Any, ...]]) -> None:
    """`places`: of the fields of Place, in their order."""
    _insert(session, "drift_places", PLACES, places)


def unlabelled(session: Session, keys: Sequence[int]) -> list[Place]:
    """Return the rows of these keys that have no label."""
    found = _in(session, f"SELECT {', '.join(PLACES)} FROM drift_places WHERE labelled = 0 AND key", keys)
    return [Place(*row) for row in found]


def unlabelled_of_units(session: Session, units: Sequence[int]) -> list[Place]:
    """Return the rows of these entities that have no label."""
    query = f"SELECT {', '.join(PLACES)} FROM drift_places WHERE unit IS NOT NULL AND labelled = 0 AND unit"
    return [Place(*row) for row in _in(session, query, units)]


def give(session: Session, given: Sequence[tuple[Place, Given]]) -> None:
    """Store the labels of rows that had none."""
    if not given:
        return
    _insert(session, "drift_given_labels", GIVEN, [label for _, label in given])
    _for_keys(session, "UPDATE drift_places SET labelled = 1 WHERE key", [place.key for place, _ in given])


def given_of(session: Session, window_key: int) -> Iterator[tuple[int, str, int | None]]:
    """Yield seat, label and when it was sent, in order."""
    query = "SELECT seat, label, labelled_at FROM drift_given_labels WHERE window_key = {} ORDER BY seat"
    marked = query.format("?" if _is_sqlite(session) else "%s")
    yield from session.connection().exec_driver_sql(marked, (window_key,)).tuples()


def forget(session: Session, keys: Sequence[int]) -> None:
    _for_keys(session, "DELETE FROM drift_places WHERE key", keys)


def forget_labels(session: Session, window_key: int) -> None:
    session.execute(delete(GivenRow).where(GivenRow.window_key == window_key))


def known_labels(session: Session, keys: Sequence[int]) -> set[int]:
    return {key for (key,) in _in(session, "SELECT key FROM drift_ground_truth WHERE key", keys)}


def add_labels(session: Session, labels: Sequence[Label]) -> None:
    _insert(session, "drift_ground_truth", LABELS, labels)


def labels_by_key(session: Session, keys: Sequence[int]) -> dict[int, Label]:
    """Return the labels of rows, as far as there are any."""
    query = f"SELECT {', '.join(LABELS)} FROM drift_ground_truth WHERE key"
    return {label.key: label for label in (Label(*row) for row in _in(session, query, keys))}


def labels_by_unit(session: Session, units: Iterable[int]) -> dict[int, list[Label]]:
    """Return the labels of entities."""
    query = f"SELECT {', '.join(LABELS)} FROM drift_ground_truth WHERE unit IS NOT NULL AND unit"
    found: dict[int, list[Label]] = {}
    for row in _in(session, query, list(units)):
        label = Label(*row)
        found.setdefault(label.unit or 0, []).append(label)
    return found


def has_labels(session: Session) -> bool:
    return session.connection().exec_driver_sql("SELECT 1 FROM drift_ground_truth LIMIT 1").first() is not None


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _in(session: Session, query: str, values: Sequence[int]) -> Iterator[Any]:
    """Yield the rows of a query that ends in the column which is one of `values`."""
    if not values:
        return
    connection = session.connection()
    if not _is_sqlite(session):
        yield from connection.exec_driver_sql(f"{query} = ANY(%s)", (list(values),)).tuples()
        return
    for start in range(0, len(values), AT_A_TIME):
        some = tuple(values[start : start + AT_A_TIME])
        marks = ",".join("?" * len(some))
        yield from connection.exec_driver_sql(f"{query} IN ({marks})", some).tuples()


def _for_keys(session: Session, statement: str, keys: Sequence[int]) -> None:
    """Execute a statement that ends in the column which is one of `keys`."""
    if not keys:
        return
    if _is_sqlite(session):
        session.connection().exec_driver_sql(f"{statement} = ?", [(key,) for key in keys])
    else:
        session.connection().exec_driver_sql(f"{statement} = ANY(%s)", (list(keys),))


def _insert(session: Session, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    connection = session.connection()
    columns = ", ".join(names)
    if _is_sqlite(session):
        connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({','.join('?' * len(names))})", list(rows))
        return
    arrays = ", ".join(f"%s::{TYPES.get(name, 'bigint')}[]" for name in names)
    values = tuple(map(list, zip(*rows, strict=True)))
    connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})", values)
