"""Ingestion of rows and labels: thousands in one transaction, each stored once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from chassis.columns import from_microseconds, microseconds
from drift.database import chunks, places, store
from drift.database.columns import Columns, Made
from drift.database.places import Given, Label, Place
from drift.database.records import hash_of, label_key
from drift.database.tables import COMPLETE, FailureRow, ModelRow, VersionRow, WindowRow
from drift.ingestion.labels import LabelRead
from drift.ingestion.matching import EntityLabel, label_for

KEPT, DUPLICATE, REPLAYED, SUPERSEDED, FAILED = "kept", "duplicate", "replayed", "superseded", "failed"

MICROSECONDS = 1_000_000


@dataclass
class Taken:
    """Result of a batch: counts by outcome, and the windows that changed, by key."""

    statuses: Counter[str] = field(default_factory=Counter)
    windows: dict[int, WindowRow] = field(default_factory=dict)
    kept: dict[int, list[int]] = field(default_factory=dict)
    """When the new rows were predicted, in microseconds since 1970, by version."""
    failed: dict[int, list[int]] = field(default_factory=dict)
    labels: list[LabelRead] = field(default_factory=list)
    """The new labels."""
    delays: list[float] = field(default_factory=list)
    """Seconds from each prediction to its label, of the rows that a label was assigned to."""


def take_predictions(
    session: Session, model: ModelRow, made: dict[int, Columns], window_size: int, now: datetime
) -> Taken:
    """Store new rows of one locked model, in order of arrival, in the windows of their versions.

    `made`: by version, each row once.
    """
    taken = Taken()
    known = places.known(session, [key for columns in made.values() for key in columns.values("key")])
    taken.statuses[DUPLICATE] += len(known)
    for model_version, columns in made.items():
        new = columns.without(known)
        if not len(new):
            continue
        version = store.version_of(session, model.model_name, model_version)
        new = _current(model, version, new, taken)
        taken.statuses[KEPT] += len(new)
        taken.kept[model_version] = new.values("made_at")
        version.predicted += len(new)
        if len(new):
            _fill_windows(session, version, new, window_size, now, taken)
    return taken


def take_failures(session: Session, model: ModelRow, rows: Sequence[Made], now: datetime, taken: Taken) -> None:
    """Count new rows that a version failed on; they are in no window. `taken`: of the rows that it predicted."""
    new = {hash_of(label_key(row.request_id, row.row)): row for row in reversed(rows)}
    for keys in store.chunks(list(new)):
        known = select(FailureRow.key).where(FailureRow.model_name == model.model_name, FailureRow.key.in_(keys))
        for key in session.scalars(known).all():
            del new[key]
    taken.statuses[DUPLICATE] += len(rows) - len(new)
    if new:
        found = [{"model_name": model.model_name, "key": key, "received_at": now} for key in new]
        session.execute(insert(FailureRow), found)
    by_version: dict[int, list[Made]] = {}
    for row in new.values():
        by_version.setdefault(row.model_version, []).append(row)
    for model_version, of_version in by_version.items():
        version = store.version_of(session, model.model_name, model_version)
        if (fate := _past(model, version)) is not None:
            taken.statuses[fate] += len(of_version)
            continue
        until = version.known_until
        current = [microseconds(row.made_at) for row in of_version if until is None or row.made_at > until]
        taken.statuses[REPLAYED] += len(of_version) - len(current)
        taken.statuses[FAILED] += len(current)
        taken.failed[model_version] = current
        version.failed += len(current)


def take_labels(session: Session, labels: Sequence[LabelRead], now: datetime) -> Taken:
    """Store new labels of one locked model, and assign them to the rows that wait for them."""
    first: dict[int, LabelRead] = {}
    for label in labels:
        first.setdefault(label.key, label)
    for key in places.known_labels(session, list(first)):
        del first[key]
    new = list(first.values())
    taken = Taken(Counter({KEPT: len(new), DUPLICATE: len(labels) - len(new)}), labels=new)
    received = microseconds(now)
    stored = [
        Label(
            label.key,
            label.unit,
            None if label.event_time is None else microseconds(label.event_time),
            label.label,
            microseconds(label.sent_at),
            received,
        )
        for label in new
    ]
    by_key = {item.key: item for item in stored if item.unit is None}
    by_unit: dict[int, list[Label]] = {}
    for item in stored:
        if item.unit is not None:
            by_unit.setdefault(item.unit, []).append(item)
    _give(session, ((place, by_key[place.key]) for place in places.unlabelled(session, list(by_key))), taken)
    waiting = places.unlabelled_of_units(session, list(by_unit))
    _give(session, ((place, _of_entity(place, by_unit.get(place.unit or 0, ()))) for place in waiting), taken)
    places.add_labels(session, stored)
    return taken


def labels_of(session: Session, rows: Sequence[Place]) -> list[Label | None]:
    """Return the label of each row if it arrived earlier."""
    if not places.has_labels(session):
        return [None] * len(rows)
    by_key = places.labels_by_key(session, [row.key for row in rows])
    by_unit = places.labels_by_unit(session, {row.unit for row in rows if row.unit is not None})
    return [
        by_key.get(row.key) or _of_entity(row, by_unit.get(row.unit, ()) if row.unit is not None else ())
        for row in rows
    ]


def place_of(row: Made) -> Place:
    """Return a row that is in no window as one that labels are found for."""
    event_time = None if row.event_time is None else microseconds(row.event_time)
    return Place(row.key, 0, 0, row.unit, microseconds(row.made_at), event_time)


def _past(model: ModelRow, version: VersionRow) -> str | None:
    """Return what becomes of rows of a version that another one has replaced.

    Those of a version whose promotion has not arrived are kept.
    """
    return SUPERSEDED if version.epoch is not None and model.champion_version != version.model_version else None


def _current(model: ModelRow, version: VersionRow, columns: Columns, taken: Taken) -> Columns:
    """Leave out the rows of a former champion, and those of a replay."""
    if (fate := _past(model, version)) is not None:
        taken.statuses[fate] += len(columns)
        return columns.slice(0, 0)
    new = columns if version.known_until is None else columns.made_after(version.known_until)
    taken.statuses[REPLAYED] += len(columns) - len(new)
    return new


def _fill_windows(
    session: Session, version: VersionRow, columns: Columns, size: int, now: datetime, taken: Taken
) -> None:
    window = store.open_window(session, version) or store.new_window(session, version, size, now)
    start = 0
    while start < len(columns):
        if window.rows >= window.size:
            window = store.new_window(session, version, size, now)
        part = columns.slice(start, window.size - window.rows)
        _put(session, window, part, now, taken)
        taken.windows[window.key] = window
        start += len(part)
    session.flush()


def _put(session: Session, window: WindowRow, columns: Columns, now: datetime, taken: Taken) -> None:
    chunks.append(session, window, columns)
    keys, units, made_at, event_times = map(columns.values, ("key", "unit", "made_at", "event_time"))
    seats = range(window.rows, window.rows + len(columns))
    rows = list(zip(keys, repeat(window.key), seats, units, made_at, event_times, repeat(0)))
    places.add(session, rows)
    begin, end = map(from_microseconds, columns.span())
    window.start = min(begin, window.start or begin)
    window.end = max(end, window.end or end)
    window.rows += len(columns)
    taken.windows[window.key] = window
    if places.has_labels(session):
        found = [Place(*row) for row in rows]
        _give(session, zip(found, labels_of(session, found), strict=True), taken)
    if window.rows >= window.size:
        window.state, window.closed_at = COMPLETE, now


def _give(session: Session, found: Iterable[tuple[Place, Label | None]], taken: Taken) -> None:
    given = [
        (place, Given(place.window_key, place.seat, label.label, label.sent_at))
        for place, label in found
        if label is not None
    ]
    places.give(session, given)
    taken.delays += [((label.labelled_at or 0) - place.made_at) / MICROSECONDS for place, label in given]
    by_window = Counter(place.window_key for place, _ in given)
    missing = [key for key in by_window if key not in taken.windows]
    for keys in store.chunks(sorted(missing)):
        taken.windows |= {item.key: item for item in session.scalars(select(WindowRow).where(WindowRow.key.in_(keys)))}
    for key, count in by_window.items():
        taken.windows[key].labelled += count


def _of_entity(place: Place, labels: Sequence[Label]) -> Label | None:
    return label_for(
        place.event_time, place.made_at, (EntityLabel(label, label.event_time, label.sent_at) for label in labels)
    )
