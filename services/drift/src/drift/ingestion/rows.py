"""Ingestion of rows and labels: thousands in one transaction, each stored once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from contracts import Envelope, GroundTruthReceived
from drift.database import store
from drift.database.records import hash_of, label_record
from drift.database.tables import COMPLETE, FailureRow, LabelRow, ModelRow, PredictionRow, VersionRow, WindowRow
from drift.ingestion.matching import EntityLabel, label_for

KEPT, DUPLICATE, REPLAYED, SUPERSEDED, FAILED = "kept", "duplicate", "replayed", "superseded", "failed"

PREDICTIONS: Table = PredictionRow.__table__  # type: ignore[assignment]
LABELS: Table = LabelRow.__table__  # type: ignore[assignment]

Records = list[dict[str, Any]]


@dataclass
class Taken:
    """Result of a batch: counts by outcome, and the windows that changed, by key."""

    statuses: Counter[str] = field(default_factory=Counter)
    windows: dict[int, WindowRow] = field(default_factory=dict)
    kept: dict[int, list[datetime]] = field(default_factory=dict)
    """When the new rows were predicted, by version."""
    failed: dict[int, list[datetime]] = field(default_factory=dict)
    labels: Records = field(default_factory=list)
    """The new labels."""
    delays: list[float] = field(default_factory=list)
    """Seconds from each prediction to its label, of the rows that a label was assigned to."""


def take_predictions(session: Session, model: ModelRow, records: Records, window_size: int, now: datetime) -> Taken:
    """Store new rows of one locked model, in order of arrival, in the windows of their versions.

    `records`: of `prediction_record`.
    """
    taken = Taken()
    by_version: dict[int, Records] = {}
    for record in _new_predictions(session, model.model_name, records):
        by_version.setdefault(record.pop("model_version"), []).append(record)
    for model_version, found in by_version.items():
        version = store.version_of(session, model.model_name, model_version)
        new = _current(model, version, found, taken)
        taken.statuses[KEPT] += len(new)
        taken.kept[model_version] = [record["made_at"] for record in new]
        version.predicted += len(new)
        for record, label in zip(new, labels_of(session, model.model_name, new), strict=True):
            record["label"] = label
            del record["label_key"]
        _fill_windows(session, version, new, window_size, now, taken)
    taken.statuses[DUPLICATE] += len(records) - taken.statuses.total()
    store.count_labels(session, taken.windows.values())
    return taken


def take_failures(session: Session, model: ModelRow, records: Records, now: datetime, taken: Taken) -> None:
    """Count new rows that a version failed on; they are in no window. `taken`: of the rows that it predicted."""
    new = {hash_of(record["label_key"]): record for record in reversed(records)}
    for keys in store.chunks(list(new)):
        known = select(FailureRow.key).where(FailureRow.model_name == model.model_name, FailureRow.key.in_(keys))
        for key in session.scalars(known).all():
            del new[key]
    taken.statuses[DUPLICATE] += len(records) - len(new)
    if new:
        rows = [{"model_name": model.model_name, "key": key, "received_at": now} for key in new]
        session.execute(insert(FailureRow), rows)
    by_version: dict[int, Records] = {}
    for record in new.values():
        by_version.setdefault(record["model_version"], []).append(record)
    for model_version, found in by_version.items():
        version = store.version_of(session, model.model_name, model_version)
        current = _current(model, version, found, taken)
        taken.statuses[FAILED] += len(current)
        taken.failed[model_version] = [record["made_at"] for record in current]
        version.failed += len(current)


def _current(model: ModelRow, version: VersionRow, records: Records, taken: Taken) -> Records:
    """Return the rows of the champion, or of a version whose promotion has not arrived, without those of a replay."""
    if version.epoch is not None and model.champion_version != version.model_version:
        taken.statuses[SUPERSEDED] += len(records)
        return []
    new = [item for item in records if version.known_until is None or item["made_at"] > version.known_until]
    taken.statuses[REPLAYED] += len(records) - len(new)
    return new


def take_labels(
    session: Session, model_name: str, envelopes: Sequence[Envelope[GroundTruthReceived]], now: datetime
) -> Taken:
    """Store new labels of one locked model, and assign them to the rows that wait for them."""
    records: dict[str, dict[str, Any]] = {}
    for envelope in envelopes:
        record = label_record(envelope, now)
        records.setdefault(record["key"], record)
    for keys in store.chunks(list(records)):
        known = select(LabelRow.key).where(LabelRow.model_name == model_name, LabelRow.key.in_(keys))
        for key in session.scalars(known).all():
            del records[key]
    new = list(records.values())
    taken = Taken(Counter({KEPT: len(new), DUPLICATE: len(envelopes) - len(new)}))
    if not new:
        return taken
    taken.labels = new
    touched = _label_requests(session, model_name, [item for item in new if item["entity_id"] is None], taken)
    touched |= _label_entities(session, model_name, [item for item in new if item["entity_id"] is not None], taken)
    stored = [{name: value for name, value in item.items() if name in LABELS.columns} for item in new]
    session.execute(store.insert_into(session, LABELS).on_conflict_do_nothing(), stored)
    for keys in store.chunks(sorted(touched)):
        taken.windows |= {item.key: item for item in session.scalars(select(WindowRow).where(WindowRow.key.in_(keys)))}
    store.count_labels(session, taken.windows.values())
    return taken


def _new_predictions(session: Session, model_name: str, records: Records) -> Records:
    """Drop duplicates, within this batch or of an earlier one."""
    new: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        new.setdefault((record["request_id"], record["row"]), record)
    for requests in store.chunks(list({request for request, _ in new})):
        query = select(PREDICTIONS.c.request_id, PREDICTIONS.c.row).where(
            PREDICTIONS.c.model_name == model_name, PREDICTIONS.c.request_id.in_(requests)
        )
        for request, row in session.execute(query):
            new.pop((request, row), None)
    return list(new.values())


def _fill_windows(
    session: Session, version: VersionRow, records: Records, size: int, now: datetime, taken: Taken
) -> None:
    if not records:
        return
    window = store.open_window(session, version) or store.new_window(session, version, size, now)
    start = 0
    while start < len(records):
        if window.rows >= window.size:
            window = store.new_window(session, version, size, now)
        part = records[start : start + window.size - window.rows]
        _put(window, part, now)
        taken.windows[window.key] = window
        start += len(part)
    session.flush()
    session.execute(store.insert_into(session, PREDICTIONS).on_conflict_do_nothing(), records)


def _put(window: WindowRow, records: Records, now: datetime) -> None:
    for record in records:
        record["window_key"] = window.key
    times = [record["event_time"] or record["made_at"] for record in records]
    window.start = min([*times, window.start or times[0]])
    window.end = max([*times, window.end or times[0]])
    window.rows += len(records)
    if window.rows >= window.size:
        window.state, window.closed_at = COMPLETE, now


def labels_of(session: Session, model_name: str, records: Records) -> list[str | None]:
    """Return the label of each row, as JSON, if it arrived earlier. `records`: with a `label_key`."""
    by_key: dict[str, str] = {}
    for keys in store.chunks([record["label_key"] for record in records]):
        query = select(LABELS.c.key, LABELS.c.label).where(LABELS.c.model_name == model_name, LABELS.c.key.in_(keys))
        by_key.update((key, label) for key, label in session.execute(query))
    by_entity: dict[str, list[EntityLabel]] = {}
    for entities in store.chunks(list({record["entity_id"] for record in records} - {None})):
        query = select(LABELS.c.entity_id, LABELS.c.label, LABELS.c.event_time, LABELS.c.sent_at).where(
            LABELS.c.model_name == model_name, LABELS.c.entity_id.in_(entities)
        )
        for found in session.execute(query):
            label = EntityLabel(found.label, found.event_time, found.sent_at)
            by_entity.setdefault(found.entity_id, []).append(label)
    return [
        by_key.get(record["label_key"])
        or label_for(record["event_time"], record["made_at"], by_entity.get(record["entity_id"], ()))
        for record in records
    ]


def _label_requests(session: Session, model_name: str, labels: Records, taken: Taken) -> set[int]:
    """Assign labels to the rows of their requests; return the keys of the windows that changed."""
    by_row = {(item["request_id"], item["row"]): item for item in labels}
    found: Records = []
    touched: set[int] = set()
    for requests in store.chunks(list({request for request, _ in by_row})):
        for row in session.execute(_unlabelled(model_name).where(PREDICTIONS.c.request_id.in_(requests))):
            if (label := by_row.get((row.request_id, row.row))) is not None:
                found.append({"of": row.seq, "given": label["label"]})
                taken.delays.append((label["sent_at"] - row.made_at).total_seconds())
                touched.add(row.window_key)
    _write_labels(session, found)
    return touched


def _label_entities(session: Session, model_name: str, labels: Records, taken: Taken) -> set[int]:
    """Assign labels to their entities' rows up to the labels' times; return the keys of the windows that changed."""
    by_entity: dict[str, list[EntityLabel]] = {}
    for item in labels:
        label = EntityLabel(item["label"], item["event_time"], item["sent_at"])
        by_entity.setdefault(item["entity_id"], []).append(label)
    found: Records = []
    touched: set[int] = set()
    for entities in store.chunks(list(by_entity)):
        for row in session.execute(_unlabelled(model_name).where(PREDICTIONS.c.entity_id.in_(entities))):
            if (given := label_for(row.event_time, row.made_at, by_entity[row.entity_id])) is not None:
                found.append({"of": row.seq, "given": given})
                touched.add(row.window_key)
    _write_labels(session, found)
    return touched


def _unlabelled(model_name: str) -> Select[Any]:
    columns = ("seq", "request_id", "row", "entity_id", "event_time", "made_at", "window_key")
    return select(*(PREDICTIONS.c[name] for name in columns)).where(
        PREDICTIONS.c.model_name == model_name, PREDICTIONS.c.label.is_(None)
    )


def _write_labels(session: Session, found: Records) -> None:
    if found:
        statement = update(PREDICTIONS).where(PREDICTIONS.c.seq == bindparam("of")).values(label=bindparam("given"))
        session.connection().execute(statement, found)
