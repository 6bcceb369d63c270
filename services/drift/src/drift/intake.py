"""Rows and labels into the database, thousands in one transaction, each once however often it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from contracts import Envelope, GroundTruthReceived, PredictionMade
from drift import store
from drift.matching import label_of, labels_rows
from drift.records import label_record, prediction_record
from drift.tables import COMPLETE, LabelRow, ModelRow, PredictionRow, VersionRow, WindowRow

CHUNK = 1000
"""Values of one IN (…)."""

KEPT, DUPLICATE, REPLAYED, SUPERSEDED = "kept", "duplicate", "replayed", "superseded"

PREDICTIONS: Table = PredictionRow.__table__  # type: ignore[assignment]
LABELS: Table = LabelRow.__table__  # type: ignore[assignment]

Records = list[dict[str, Any]]


@dataclass
class Taken:
    """What became of a batch: how many met which fate, and the windows that changed, by key."""

    fates: Counter[str] = field(default_factory=Counter)
    windows: dict[int, WindowRow] = field(default_factory=dict)


def take_predictions(
    session: Session,
    model: ModelRow,
    envelopes: Sequence[Envelope[PredictionMade]],
    window_size: int,
    now: datetime,
) -> Taken:
    """Store the rows of one locked model that are new, in order of arrival, in the windows of their versions."""
    taken = Taken()
    by_version: dict[int, Records] = {}
    for record in _new_predictions(session, model.model_name, [prediction_record(item, now) for item in envelopes]):
        by_version.setdefault(record.pop("model_version"), []).append(record)
    for model_version, records in by_version.items():
        version = store.version_of(session, model.model_name, model_version)
        if version.epoch is not None and model.champion_version != model_version:
            taken.fates[SUPERSEDED] += len(records)
            continue
        new = [item for item in records if version.known_until is None or item["made_at"] > version.known_until]
        taken.fates[REPLAYED] += len(records) - len(new)
        taken.fates[KEPT] += len(new)
        _add_labels(session, model.model_name, new)
        _fill_windows(session, version, new, window_size, now, taken)
    taken.fates[DUPLICATE] += len(envelopes) - taken.fates.total()
    store.count_labels(session, taken.windows.values())
    return taken


def take_labels(
    session: Session, model_name: str, envelopes: Sequence[Envelope[GroundTruthReceived]], now: datetime
) -> Taken:
    """Keep the labels of one locked model that are new, and give them to the rows that wait for them."""
    records: dict[str, dict[str, Any]] = {}
    for envelope in envelopes:
        record = label_record(envelope, now)
        records.setdefault(record["key"], record)
    for keys in _chunks(list(records)):
        known = select(LabelRow.key).where(LabelRow.model_name == model_name, LabelRow.key.in_(keys))
        for key in session.scalars(known).all():
            del records[key]
    new = list(records.values())
    taken = Taken(Counter({KEPT: len(new), DUPLICATE: len(envelopes) - len(new)}))
    if not new:
        return taken
    touched = _label_requests(session, model_name, [item for item in new if item["entity_id"] is None])
    for item in new:
        if item["entity_id"] is not None:
            touched |= set(session.scalars(labels_rows(item)))
    stored = [{name: value for name, value in item.items() if name in LABELS.columns} for item in new]
    session.execute(store.insert_into(session, LABELS).on_conflict_do_nothing(), stored)
    for keys in _chunks(sorted(touched)):
        taken.windows |= {item.key: item for item in session.scalars(select(WindowRow).where(WindowRow.key.in_(keys)))}
    store.count_labels(session, taken.windows.values())
    return taken


def _new_predictions(session: Session, model_name: str, records: Records) -> Records:
    """Without those that came before, in this batch or an earlier one."""
    new: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        new.setdefault((record["request_id"], record["row"]), record)
    for requests in _chunks(list({request for request, _ in new})):
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


def _add_labels(session: Session, model_name: str, records: Records) -> None:
    """Give new rows the labels that came before them."""
    by_key: dict[str, str] = {}
    for keys in _chunks([record["label_key"] for record in records]):
        query = select(LABELS.c.key, LABELS.c.label).where(LABELS.c.model_name == model_name, LABELS.c.key.in_(keys))
        by_key.update((key, label) for key, label in session.execute(query))
    by_entity: dict[str, list[Any]] = {}
    for entities in _chunks(list({record["entity_id"] for record in records} - {None})):
        query = select(LABELS).where(LABELS.c.model_name == model_name, LABELS.c.entity_id.in_(entities))
        for found in session.execute(query.order_by(LABELS.c.sent_at)):
            by_entity.setdefault(found.entity_id, []).append(found)
    for record in records:
        label = by_key.get(record.pop("label_key"))
        record["label"] = label if label is not None else label_of(record, by_entity.get(record["entity_id"], ()))


def _label_requests(session: Session, model_name: str, labels: Records) -> set[int]:
    """Give labels to the rows of their requests; returns the keys of the windows that got some."""
    by_row = {(item["request_id"], item["row"]): item["label"] for item in labels}
    changes, touched = [], set()
    for requests in _chunks(list({request for request, _ in by_row})):
        query = select(PREDICTIONS.c.seq, PREDICTIONS.c.request_id, PREDICTIONS.c.row, PREDICTIONS.c.window_key).where(
            PREDICTIONS.c.model_name == model_name,
            PREDICTIONS.c.request_id.in_(requests),
            PREDICTIONS.c.label.is_(None),
        )
        for seq, request, row, window in session.execute(query):
            if (request, row) in by_row:
                changes.append({"of": seq, "new_label": by_row[request, row]})
                touched.add(window)
    if changes:
        statement = update(PREDICTIONS).where(PREDICTIONS.c.seq == bindparam("of"))
        session.connection().execute(statement.values(label=bindparam("new_label")), changes)
    return touched


def _chunks(values: list[Any]) -> list[list[Any]]:
    return [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
